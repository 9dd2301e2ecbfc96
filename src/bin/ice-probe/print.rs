//! Results go to stdout; colours only to a terminal.

use std::io::{self, Write};

/// Writes `text` as it is.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
