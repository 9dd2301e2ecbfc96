//! The driver.

mod receive;
mod transport;
