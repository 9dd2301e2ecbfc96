//! The check lists without messages: what is sent when, and what the pairs
//! become.

mod consent;
mod fixture;
mod form;
mod nominate;
mod punch;
mod reasons;
mod renominate;
mod retire;
mod schedule;
mod states;
