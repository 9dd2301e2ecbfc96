//! What the front knows of the allocations, which the server behind it holds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{LegId, Limits};
use crate::server::rate::network;
use crate::stun::TransactionId;

/// How long a permission and a channel last (RFC 8656 §9, §12).
pub(super) const PERMISSION: Duration = Duration::from_secs(300);
pub(super) const CHANNEL: Duration = Duration::from_secs(600);

/// Peers that one allocation may have permissions for, and channels to.
const PERMISSIONS: usize = 256;
const CHANNELS: usize = 64;

/// How long the server behind may take to make an allocation.
const PENDING: Duration = Duration::from_secs(10);

/// The client's end of a 5-tuple; the leg stands for the other and the
/// protocol.
pub(super) type Client = (LegId, SocketAddr);

/// An allocation, or one that is being made.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) user: usize,
    pub(super) relayed: Option<SocketAddr>,
    /// The transaction that made it, and its answer, which is given again when
    /// the request is (RFC 8656 §7.2).
    pub(super) made_by: TransactionId,
    pub(super) answer: Box<[u8]>,
    expires: Instant,
    permissions: HashMap<IpAddr, Instant>,
    channels: HashMap<u16, (SocketAddr, Instant)>,
}

/// Why an allocation is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The user or the client's address has enough.
    Quota,
    /// The server has enough.
    Capacity,
}

/// All allocations.
#[derive(Debug, Default)]
pub(super) struct Table {
    allocations: HashMap<Client, Allocation>,
}

impl Table {
    /// The client's allocation, if it has one and it has not expired.
    pub(super) fn get(&mut self, client: Client, now: Instant) -> Option<&mut Allocation> {
        self.allocations.get_mut(&client).filter(|allocation| allocation.expires > now)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Notes that an allocation is being made.
    pub(super) fn begin(
        &mut self,
        client: Client,
        user: usize,
        made_by: TransactionId,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), Full> {
        self.allocations.retain(|_, allocation| allocation.expires > now);
        if self.allocations.len() >= limits.allocations {
            return Err(Full::Capacity);
        }
        let ip = network(client.1.ip());
        let of_user = self.allocations.values().filter(|other| other.user == user).count();
        let of_ip = self.allocations.keys().filter(|(_, at)| network(at.ip()) == ip).count();
        if of_user >= limits.allocations_per_user || of_ip >= limits.allocations_per_ip {
            return Err(Full::Quota);
        }
        let allocation = Allocation {
            user,
            relayed: None,
            made_by,
            answer: Box::default(),
            expires: now + PENDING,
            permissions: HashMap::new(),
            channels: HashMap::new(),
        };
        self.allocations.insert(client, allocation);
        Ok(())
    }

    /// Forgets the client's allocation.
    pub(super) fn remove(&mut self, client: Client) {
        self.allocations.remove(&client);
    }
}

impl Allocation {
    /// Whether it is there: else it is being made.
    pub(super) fn is_made(&self) -> bool {
        self.relayed.is_some()
    }

    /// It lasts so long from now.
    pub(super) fn refresh(&mut self, lifetime: Duration, now: Instant) {
        self.expires = now + lifetime;
    }

    /// Notes permissions for all of `peers`, or for none where they are too
    /// many.
    pub(super) fn permit(&mut self, peers: &[IpAddr], now: Instant) -> bool {
        self.permissions.retain(|_, expires| *expires > now);
        let mut permissions = self.permissions.clone();
        permissions.extend(peers.iter().map(|peer| (*peer, now + PERMISSION)));
        let fits = permissions.len() <= PERMISSIONS;
        if fits {
            self.permissions = permissions;
        }
        fits
    }

    /// Notes a channel and its permission. The error is the STUN code: 400
    /// where number or peer belong to another channel (RFC 8656 §12.2).
    pub(super) fn bind_channel(
        &mut self,
        number: u16,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<(), u16> {
        self.channels.retain(|_, (_, expires)| *expires > now);
        if self.channels.iter().any(|(other, (at, _))| (*other == number) != (*at == peer)) {
            return Err(400);
        }
        let is_full = self.channels.len() >= CHANNELS && !self.channels.contains_key(&number);
        if is_full || !self.permit(&[peer.ip()], now) {
            return Err(508);
        }
        self.channels.insert(number, (peer, now + CHANNEL));
        Ok(())
    }

    /// Whether the channel is bound.
    pub(super) fn has_channel(&self, number: u16, now: Instant) -> bool {
        self.channels.get(&number).is_some_and(|(_, expires)| *expires > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: u8, port: u16) -> Client {
        (LegId(0), SocketAddr::from(([192, 0, 2, ip], port)))
    }

    fn table_with_one(now: Instant) -> Table {
        let mut table = Table::default();
        let id = TransactionId([1; 12]);
        table.begin(client(1, 1), 0, id, &Limits::default(), now).unwrap();
        table
    }

    #[test]
    fn each_limit_holds() {
        let now = Instant::now();
        let limits = Limits {
            allocations: 6,
            allocations_per_user: 4,
            allocations_per_ip: 2,
            ..Limits::default()
        };
        let mut table = Table::default();
        let mut begin = |ip, port, user| {
            table.begin(client(ip, port), user, TransactionId([1; 12]), &limits, now)
        };
        assert_eq!((begin(1, 1, 0), begin(1, 2, 0)), (Ok(()), Ok(())));
        assert_eq!(begin(1, 3, 1), Err(Full::Quota), "of the address");
        assert_eq!((begin(2, 1, 0), begin(3, 1, 0)), (Ok(()), Ok(())));
        assert_eq!(begin(4, 1, 0), Err(Full::Quota), "of the user");
        assert_eq!((begin(4, 1, 1), begin(5, 1, 1)), (Ok(()), Ok(())));
        assert_eq!(begin(6, 1, 1), Err(Full::Capacity));
        assert_eq!(table.len(), 6);
        let later = now + PENDING;
        assert!(table.get(client(1, 1), later).is_none(), "what is never made is forgotten");
        let id = TransactionId([2; 12]);
        assert_eq!(table.begin(client(6, 1), 1, id, &limits, later), Ok(()));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn permissions_are_bounded_and_end() {
        let now = Instant::now();
        let mut table = table_with_one(now);
        let allocation = table.get(client(1, 1), now).unwrap();
        let ips: Vec<IpAddr> =
            (0..=PERMISSIONS as u32).map(|n| std::net::Ipv4Addr::from_bits(n).into()).collect();
        assert!(allocation.permit(&ips[..PERMISSIONS], now));
        assert!(allocation.permit(&ips[..1], now), "the same again");
        assert!(!allocation.permit(&ips[PERMISSIONS..], now));
        assert!(allocation.permit(&ips[PERMISSIONS..], now + PERMISSION));
    }

    #[test]
    fn a_channel_has_one_peer_and_a_peer_one_channel() {
        let now = Instant::now();
        let mut table = table_with_one(now);
        let allocation = table.get(client(1, 1), now).unwrap();
        let peer = |port| SocketAddr::from(([198, 51, 100, 1], port));
        assert_eq!(allocation.bind_channel(0x4000, peer(1), now), Ok(()));
        assert_eq!(allocation.bind_channel(0x4000, peer(1), now), Ok(()));
        assert_eq!(allocation.bind_channel(0x4000, peer(2), now), Err(400));
        assert_eq!(allocation.bind_channel(0x4001, peer(1), now), Err(400));
        for n in 1..CHANNELS as u16 {
            assert_eq!(allocation.bind_channel(0x4000 + n, peer(1 + n), now), Ok(()));
        }
        assert_eq!(allocation.bind_channel(0x4fff, peer(9_999), now), Err(508));
        assert!(allocation.has_channel(0x4000, now) && !allocation.has_channel(0x4fff, now));
        assert!(!allocation.has_channel(0x4000, now + CHANNEL));
        assert_eq!(allocation.bind_channel(0x4000, peer(2), now + CHANNEL), Ok(()));
    }
}
