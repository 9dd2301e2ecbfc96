//! The driver.

mod interfaces;
mod receive;
mod router;
mod socket;
mod transport;
mod uri;
