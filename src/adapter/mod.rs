//! Adapters: a [`Connection`](crate::Connection) as other libraries know
//! their sockets. Each is behind a feature of its own, and its types are in
//! the API only behind that.

#[cfg(feature = "quinn")]
pub mod quinn;
#[cfg(feature = "webrtc")]
pub mod webrtc;
