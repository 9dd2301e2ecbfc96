//! What the model of TCP does is what Linux was measured to do: scenarios with
//! their exact outcomes and times, and properties over many seeds.

#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)]

#[path = "../model/mod.rs"]
mod model;

mod calls;
mod findings;
mod paths;
mod punch;
mod seeds;
