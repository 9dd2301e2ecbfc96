//! The bodies of the fuzz targets. They are plain functions that build on
//! stable: `fuzz_targets/` only calls them, and `tests/replay.rs` runs them
//! over the corpora in every `cargo test`.

pub mod agent_life;
pub mod agent_pair;
pub mod candidate_sdp;
mod close;
pub mod sdp_attributes;
pub mod stun_message;
pub mod tcp_connections;
pub mod tcp_frames;
mod tcp_pair;
pub mod turn_client;
