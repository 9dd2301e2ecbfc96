//! The rules of RFC 8445 (and of RFC 7675, 8838 and 8863, which amend it),
//! held against the check engine: no sockets, no messages, virtual time.
//! `rfc-notes/` says which test is for which rule.

#![allow(clippy::unwrap_used)]

mod bench;
mod concluding;
mod consent;
mod forming;
mod requests;
mod responses;
mod schedule;
