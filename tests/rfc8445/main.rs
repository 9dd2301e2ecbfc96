//! The rules of RFC 8445 (and of RFC 7675, 8838 and 8863, which amend it),
//! held against the check engine and the agent's core: no sockets, virtual
//! time. `rfc-notes/` says which test is for which rule.

// The check engine, fed by hand.
mod bench;
mod concluding;
mod consent;
mod forming;
mod random;
mod requests;
mod responses;
mod schedule;

// An agent's core, with the test as its peer and its network.
mod alone;
mod answers;
mod candidates;
mod checks;
mod session;
