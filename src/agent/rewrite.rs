//! Addresses of a 1:1 NAT: a server that knows at which public address it is
//! reached needs nobody to tell it.

use std::net::{IpAddr, SocketAddr};

use crate::agent::gathering::{foundation, priority_of};
use crate::agent::{BaseId, Core};
use crate::candidate::{Kind, Ranked};
use crate::check::Local;
use crate::net::Family;
use crate::timer::Time;

/// A public address that a 1:1 NAT keeps for an address of this machine,
/// ports unchanged.
///
/// Sockets are bound to the local address, and checks leave from there: the
/// public address is one at which the peer is told to reach them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rewrite {
    /// The address of this machine.
    pub local: IpAddr,
    /// The address of the NAT, of the same family; else the rule has no effect.
    pub public: IpAddr,
    /// In which form it is signalled.
    pub mode: RewriteMode,
}

/// How a rewritten address is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum RewriteMode {
    /// As the host candidate: the local address is not signalled. For peers
    /// that never share a network with this machine.
    Replace,
    /// As a server-reflexive candidate beside the host candidate, just as if
    /// a STUN server had told of it.
    Add,
}

impl Core {
    /// A base became a host candidate of a session: what the peer is to know
    /// of it.
    pub(super) fn announce_host(&mut self, id: BaseId, list: u16, now: Time) {
        let Some(base) = self.base(id) else { return };
        let (ip, Some(seat)) = (base.ip, base.seat(list)) else { return };
        let (Some(host), preference) = (seat.local, seat.local_preference) else { return };
        let is_meant = |r: &&Rewrite| {
            r.local == ip && Family::of(r.public) == Family::of(ip) && r.public != ip
        };
        let rewrites: Vec<Rewrite> =
            self.config.rewrites.iter().filter(is_meant).copied().collect();
        if rewrites.iter().all(|rewrite| rewrite.mode != RewriteMode::Replace) {
            self.publish(ip);
            self.announce(list, host, now);
        }
        let host = self.checks.local(list, host).clone();
        for (nth, rewrite) in rewrites.into_iter().enumerate() {
            let preference = Ranked::reflexive_preference(preference, nth);
            let image = self.image(id, &host, rewrite, preference);
            if self.checks.knows_local(list, id.0, image.address) {
                continue;
            }
            if let Some(image) = self.checks.add_image(list, image) {
                self.announce(list, image, now);
            }
        }
    }

    /// The candidate that stands for a host candidate outside. Being only an
    /// image of its base it forms no pairs (RFC 8445 §6.1.2.4); it is known so
    /// that an answer which tells of it is no news (§7.2.5.3.1).
    fn image(
        &mut self,
        id: BaseId,
        host: &Local,
        rewrite: Rewrite,
        local_preference: u16,
    ) -> Local {
        let address = SocketAddr::new(rewrite.public, host.address.port());
        // Of a candidate that replaces its host, the base is the public
        // address as far as the peer can see.
        let (kind, related, scoped) = match rewrite.mode {
            RewriteMode::Replace => (Kind::Host, None, address),
            RewriteMode::Add => {
                let scoped = self.in_scope_of(id, host.address);
                (Kind::ServerReflexive, Some(host.address), scoped)
            }
        };
        let tcp_type = host.path.class.tcp_type();
        Local {
            address,
            kind,
            priority: priority_of(kind, tcp_type, local_preference, host.component),
            foundation: foundation(&mut self.foundations, kind, scoped, tcp_type, None),
            related,
            ..host.clone()
        }
    }
}
