//! What the two sides tell each other without a rendezvous: one line, which a
//! person carries. It is no secret that helps anybody but the one who gets the
//! place of the other side: whoever carries it can change it, so it is as safe
//! as the way that it goes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// What every token begins with.
const PREFIX: &str = "floe1.";

/// Most terminals take a line of 4,095 characters.
const MAX_TOKEN: usize = 4_000;

/// Bytes that tell a slip of the pen.
const CHECK: usize = 4;

/// The lines of a session as one token, without the last ones where it would
/// be too long.
pub(crate) fn write(lines: &[String]) -> String {
    let mut take = lines.len();
    loop {
        let text = lines.iter().take(take).map(String::as_str).collect::<Vec<_>>().join("\n");
        let bytes = [&check(text.as_bytes())[..], text.as_bytes()].concat();
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if token.len() <= MAX_TOKEN || take == 0 {
            return token;
        }
        take -= 1;
    }
}

/// The lines of a token; else what is wrong with it.
pub(crate) fn read(token: &str) -> Result<Vec<String>, &'static str> {
    let body = token.trim().strip_prefix(PREFIX).ok_or("it is not the other side's line")?;
    let slip = "it is not all of the other side's line";
    let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| slip)?;
    let (sum, text) = bytes.split_first_chunk::<CHECK>().ok_or(slip)?;
    if *sum != check(text) {
        return Err(slip);
    }
    let text = str::from_utf8(text).map_err(|_| slip)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn check(text: &[u8]) -> [u8; CHECK] {
    let hash: [u8; 32] = Sha256::digest(text).into();
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_slips_are_told() {
        let lines = ["one".to_owned(), "zwei é".to_owned()];
        let token = write(&lines);
        assert!(token.chars().all(|c| c.is_ascii_graphic()));
        assert_eq!(read(&format!("  {token}\r\n")).unwrap(), lines);
        for at in PREFIX.len()..token.len() {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let slip = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(read(&slip).is_err() || read(&slip).unwrap() == lines, "{at}");
            assert!(read(&token[..at]).is_err(), "cut at {at}");
        }
        for no in ["", "floe1.", "floe1.é", "hello"] {
            assert!(read(no).is_err());
        }
    }

    #[test]
    fn a_token_fits_a_line_of_a_terminal() {
        let lines: Vec<String> = (0..200).map(|n| format!("candidate number {n:040}")).collect();
        let token = write(&lines);
        assert!(token.len() <= MAX_TOKEN);
        let read = read(&token).unwrap();
        assert!(read.len() > 40 && lines.starts_with(&read));
    }
}
