//! Two sides that share a short code agree on keys through a server that they
//! need not trust, and tell each other what ICE has to know.
//!
//! A [`Code`] is `name-secret`. The server hears the name alone: it puts the
//! two visitors that say it into one room and passes on what they send
//! ([`Ask`] and [`Tell`] are its words). The secret goes into a SPAKE2 of an
//! [`Exchange`]: whoever does not know it, the server included, has one guess
//! for each time that an honest side plays, and three in all. Both sides prove
//! that they have the same key before anything else is said; all that follows
//! is encrypted and authenticated under keys of that exchange.
//!
//! So a server that lies can keep two sides apart, and no more: what it
//! replays, reflects, swaps, truncates or makes up is dropped, and it learns
//! who talks when and how much.
//!
//! Nothing here reads a clock or opens a socket.

mod code;
mod exchange;
mod seal;
mod visit;
mod words;

#[cfg(test)]
mod tests;

pub use code::{Code, CodeError};
pub use exchange::{Exchange, GUESSES, MAX_SEALED, Side, Step};
pub use visit::{Ask, MAX_MESSAGE, NAME_LENGTH, Refusal, Tell, Unknown, is_name};
