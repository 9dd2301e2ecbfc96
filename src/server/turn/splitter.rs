//! A client's stream taken apart: STUN messages, and ChannelData padded to
//! four bytes (RFC 8656 §12.5).

use crate::stun::HEADER_LEN;

/// Bytes of a ChannelData message before its data.
const CHANNEL_HEADER: usize = 4;

/// A stream that holds something else; it has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client sent neither STUN nor ChannelData (RFC 8656 §12.5)")]
pub(super) struct Garbage;

/// Holds one message that is not whole yet. What is longer than `limit` is
/// skipped, which [`crate::tcp::Deframer`] does not do: nobody could
/// relay it in one piece, and nobody without credentials makes us hold it.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: usize,
    held: Vec<u8>,
    skip: usize,
}

impl Splitter {
    pub(super) const fn new(limit: usize) -> Self {
        Splitter { limit, held: Vec::new(), skip: 0 }
    }

    /// Takes the next bytes of the stream, and gives each message that they
    /// complete, without its padding.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Garbage> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((len, padded)) = self.measure(bytes)? else {
                self.held.extend_from_slice(bytes);
                return Ok(());
            };
            if len > self.limit {
                self.skip = padded - self.held.len();
                self.held.clear();
                continue;
            }
            let missing = padded - self.held.len();
            let Some((now, later)) = bytes.split_at_checked(missing) else {
                self.held.extend_from_slice(bytes);
                return Ok(());
            };
            if self.held.is_empty() {
                take(now.get(..len).unwrap_or_default());
            } else {
                self.held.extend_from_slice(now);
                take(self.held.get(..len).unwrap_or_default());
                self.held.clear();
            }
            bytes = later;
        }
    }

    /// Length of the current message, without and with its padding; `None`
    /// where too little is there to tell.
    fn measure(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, Garbage> {
        let mut head = self.held.iter().chain(bytes).copied();
        let Some(first) = head.next() else { return Ok(None) };
        let is_channel = match first {
            0x00..=0x3f => false,
            0x40..=0x4f => true,
            _ => return Err(Garbage),
        };
        let (Some(_), Some(high), Some(low)) = (head.next(), head.next(), head.next()) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if is_channel {
            let len = CHANNEL_HEADER + length;
            Ok(Some((len, len.next_multiple_of(4))))
        } else if length.is_multiple_of(4) {
            Ok(Some((HEADER_LEN + length, HEADER_LEN + length)))
        } else {
            Err(Garbage)
        }
    }
}

/// Pads what goes out on a stream, if it is ChannelData.
pub(super) fn pad(message: &mut Vec<u8>) {
    if message.first().is_some_and(|first| first & 0xc0 == 0x40) {
        message.resize(message.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 100;

    fn stun(len: usize, fill: u8) -> Vec<u8> {
        let mut message = vec![fill; HEADER_LEN + len];
        message[..4].copy_from_slice(&[0, 1, (len >> 8) as u8, len as u8]);
        message
    }

    fn channel(len: usize, fill: u8) -> Vec<u8> {
        let mut message = vec![fill; 4 + len];
        message[..4].copy_from_slice(&[0x40, 9, (len >> 8) as u8, len as u8]);
        message
    }

    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut all = Vec::new();
        for message in messages {
            let mut padded = message.clone();
            pad(&mut padded);
            all.extend(padded);
        }
        all
    }

    fn split(splitter: &mut Splitter, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for part in parts {
            splitter.feed(part, |message| all.push(message.to_vec())).unwrap();
        }
        all
    }

    #[test]
    fn a_stream_may_be_split_anywhere() {
        let messages = [
            stun(0, 1),
            channel(0, 0),
            channel(1, 2),
            channel(5, 3),
            stun(80, 4),
            channel(96, 5),
            channel(7, 6),
        ];
        let stream = stream(&messages);
        for at in 0..=stream.len() {
            let (one, two) = stream.split_at(at);
            let mut splitter = Splitter::new(LIMIT);
            assert_eq!(split(&mut splitter, &[one, two]), messages, "split at {at}");
            assert!(splitter.held.is_empty());
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(split(&mut Splitter::new(LIMIT), &bytes), messages);
    }

    #[test]
    fn what_is_too_long_is_skipped_and_the_rest_stays_whole() {
        let messages = [channel(9, 1), channel(9_001, 2), stun(84, 3), channel(97, 4), stun(0, 5)];
        let stream = stream(&messages);
        for size in [1, 3, 100, stream.len()] {
            let parts: Vec<&[u8]> = stream.chunks(size).collect();
            let got = split(&mut Splitter::new(LIMIT), &parts);
            assert_eq!(got, [messages[0].clone(), messages[4].clone()], "by {size}");
        }
    }

    #[test]
    fn garbage_ends_it() {
        // The third is how TLS begins.
        for bytes in [&b"POST /"[..], &[0x80], &[0x16, 3, 1, 2, 0], &[0, 1, 0, 3], &[0xff; 9]] {
            let mut splitter = Splitter::new(LIMIT);
            assert_eq!(splitter.feed(bytes, |_| panic!("it is no message")), Err(Garbage));
        }
    }

    proptest! {
        #[test]
        fn any_stream_takes_bounded_memory(
            bytes in proptest::collection::vec(any::<u8>(), 0..5_000), size in 1usize..300,
        ) {
            let mut splitter = Splitter::new(LIMIT);
            for part in bytes.chunks(size) {
                if splitter.feed(part, |message| assert!(message.len() <= LIMIT)).is_err() {
                    break;
                }
                prop_assert!(splitter.held.len() < LIMIT + 4);
            }
        }
    }
}
