use std::cell::Cell;
use std::io::IoSliceMut;
use std::net::SocketAddr;

use quinn_udp::RecvMeta;

use crate::net;

/// The largest thing that one receive gives: with GRO the kernel glues
/// datagrams together up to the largest UDP length.
const SLOT: usize = 1 << 16;

/// How many receives go into one batch. More would fall out of the nearest
/// cache before they are copied on.
pub(super) const BATCH: usize = if quinn_udp::BATCH_SIZE < 16 { quinn_udp::BATCH_SIZE } else { 16 };

/// Slots stand this far apart. A power of two would put the start of every
/// slot into the same sets of the processor's caches.
const STRIDE: usize = SLOT + 4_096 + 320;

/// Datagrams of one look at a socket, as the system gave them.
pub(crate) struct Received {
    bytes: Box<[u8]>,
    meta: [RecvMeta; BATCH],
    count: usize,
}

impl Received {
    fn new() -> Self {
        // Zeroed pages come from the system unmapped: only what datagrams
        // touch takes memory.
        let bytes = vec![0; STRIDE * BATCH].into_boxed_slice();
        Received { bytes, meta: [RecvMeta::default(); BATCH], count: 0 }
    }

    /// Whether nothing was received.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many receives are in it; with GRO each may hold several datagrams.
    pub(crate) fn filled(&self) -> usize {
        self.count
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// What was received, in the order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Glued<'_>> {
        let slots = self.bytes.chunks(STRIDE);
        self.meta.iter().take(self.count).zip(slots).map(|(meta, slot)| Glued {
            from: net::canonical(meta.addr),
            bytes: slot.get(..meta.len).unwrap_or_default(),
            size: meta.stride,
        })
    }

    /// Adds one datagram that `receive` writes into the slot it is given.
    pub(super) fn push<E>(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> Result<(usize, SocketAddr), E>,
    ) -> Result<(), E> {
        let start = self.count * STRIDE;
        let Some(slot) = self.bytes.get_mut(start..start + SLOT) else { return Ok(()) };
        let (len, addr) = receive(slot)?;
        if let Some(meta) = self.meta.get_mut(self.count) {
            *meta = RecvMeta { addr, len, stride: len, ..RecvMeta::default() };
            self.count += 1;
        }
        Ok(())
    }

    /// Replaces everything by what `receive` writes into the slots; it returns
    /// how many it filled.
    pub(super) fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<(), E> {
        self.count = 0;
        let mut rest = &mut *self.bytes;
        let mut slots: [IoSliceMut<'_>; BATCH] = std::array::from_fn(|_| {
            let (slot, after) = std::mem::take(&mut rest).split_at_mut(STRIDE);
            rest = after;
            IoSliceMut::new(slot.split_at_mut(SLOT).0)
        });
        self.count = receive(&mut slots, &mut self.meta)?.min(BATCH);
        Ok(())
    }
}

/// Datagrams of one source that the kernel glued together: all of `size`
/// bytes, the last perhaps shorter. Mostly there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glued<'a> {
    /// The canonical address of their sender.
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a [u8],
    pub(crate) size: usize,
}

impl<'a> Glued<'a> {
    /// The datagrams, one by one.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.size.max(1)))
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.size.max(1)).max(1)
    }
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Received>>> = const { Cell::new(None) };
}

/// Lends this thread's receive buffers. Readers never keep datagrams in them
/// while they wait, so one set per worker serves all its sockets.
pub(crate) fn with_buffers<R>(body: impl FnOnce(&mut Received) -> R) -> R {
    let mut buffers = BUFFERS.take().unwrap_or_else(|| Box::new(Received::new()));
    let result = body(&mut buffers);
    BUFFERS.set(Some(buffers));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn glued_datagrams_come_apart_and_empty_ones_stay() {
        let mut received = Received::new();
        let result = received.fill(|slots, meta| {
            slots[0][..7].copy_from_slice(b"aaabbbc");
            meta[0] = RecvMeta { addr: from(1), len: 7, stride: 3, ..RecvMeta::default() };
            meta[1] = RecvMeta { addr: from(2), len: 0, stride: 0, ..RecvMeta::default() };
            slots[2][..2].copy_from_slice(b"dd");
            meta[2] = RecvMeta { addr: from(3), len: 2, stride: 2, ..RecvMeta::default() };
            Ok::<_, ()>(3)
        });
        assert_eq!(result, Ok(()));
        let apart: Vec<(SocketAddr, Vec<&[u8]>)> =
            received.iter().map(|glued| (glued.from, glued.datagrams().collect())).collect();
        let expected: [(SocketAddr, Vec<&[u8]>); 3] =
            [(from(1), vec![b"aaa", b"bbb", b"c"]), (from(2), vec![b""]), (from(3), vec![b"dd"])];
        assert_eq!(apart, expected);
        assert!(received.iter().map(|glued| glued.count()).eq([3, 1, 1]));
    }

    #[test]
    fn single_datagrams_add_up_to_the_batch() {
        let mut received = Received::new();
        for n in 0..BATCH + 3 {
            let result = received.push(|slot| {
                slot[0] = n as u8;
                Ok::<_, ()>((1, from(n as u16)))
            });
            assert_eq!(result, Ok(()));
        }
        assert_eq!(received.filled(), BATCH);
        assert!(received.iter().enumerate().all(|(n, glued)| glued.bytes == [n as u8]));
    }

    #[test]
    fn buffers_lent_twice_do_not_clash() {
        with_buffers(|outer| {
            outer.push(|_| Ok::<_, ()>((5, from(1)))).unwrap();
            with_buffers(|inner| assert!(inner.is_empty()));
            assert_eq!(outer.filled(), 1);
        });
    }
}
