//! NAT Behavior Discovery (RFC 5780): how a NAT maps, and what it lets in.

mod message;

pub use message::{CHANGE_REQUEST, Change, DIAL_BACK, DialBack, write_request};
