//! `ice-probe`: why two machines connect, or do not.

fn main() {}
