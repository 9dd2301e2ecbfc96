//! Remote addresses: which of them the policy admits, and candidates that
//! wait until that can be told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::agent::base::Purpose;
use crate::agent::core::DECISION;
use crate::agent::{CommandError, Core, DropReason, Happened, SocketOp, StreamId};
use crate::candidate::{AddressRefusal, Candidate, Host, OwnAddress, TcpType, is_mdns_name};
use crate::check::Refused;
use crate::net::{self, Protocol};
use crate::timer::Time;

/// Candidates of a stream that may wait.
const MAX_HELD: usize = 64;
/// Names of an agent that are being resolved at a time.
const MAX_NAMES: usize = 32;

/// A signalled candidate that waits: for the address of its name, or until it
/// is known which addresses we have.
#[derive(Debug)]
pub(super) struct Held {
    stream: StreamId,
    /// The check list of its session.
    list: u16,
    candidate: Candidate,
    /// `None` while its name is being resolved.
    address: Option<SocketAddr>,
}

impl Held {
    fn awaits(&self, name: &str) -> bool {
        let is_it = |host: &Host| matches!(host, Host::Name(n) if n.eq_ignore_ascii_case(name));
        self.address.is_none() && is_it(&self.candidate.host)
    }
}

impl Core {
    /// Whether packets may be sent to `address`, which somebody else named: a
    /// server's XOR-PEER-ADDRESS or ALTERNATE-SERVER, a name's address, a
    /// candidate. What [`super::Config::remote_policy`] says, with the
    /// addresses that the agent has now.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, address: SocketAddr, protocol: Protocol) -> Result<(), AddressRefusal> {
        let open = self.bases.iter();
        let open = open.filter(|base| base.is_open() && base.purpose == Purpose::Candidates);
        let own = open.map(|base| OwnAddress { ip: base.ip, prefix: base.prefix });
        // What a server on this machine relays, it relays to this machine.
        let servers = self.relays.all.iter().map(|relay| relay.address.ip());
        let here = servers.filter(|ip| ip.is_loopback()).map(|ip| OwnAddress { ip, prefix: None });
        let own = own.chain(here);
        self.config.remote_policy.admits(address, protocol, own)
    }

    /// [`Core::admits`], noted where it does not.
    pub(super) fn judge(
        &mut self,
        address: SocketAddr,
        protocol: Protocol,
        now: Time,
    ) -> Result<(), AddressRefusal> {
        self.admits(address, protocol).inspect_err(|&refusal| {
            tracing::debug!(%address, %refusal, "the policy refuses a remote address");
            self.log.add(now, || Happened::AddressRefused { address, refusal });
        })
    }

    /// Takes a signalled candidate, or holds it until it can be judged.
    pub(super) fn place_remote(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        now: Time,
    ) -> Result<(), CommandError> {
        let address = match usable_host(candidate, self.config.resolve_mdns) {
            Ok(Usable::Ip(ip)) => net::canonical((ip, candidate.port).into()),
            Ok(Usable::Name(name)) => return self.place_name(stream, candidate, name, now),
            Err((reason, why)) => {
                self.drop_now(reason, None, now);
                return Err(CommandError::Ignored(why));
            }
        };
        match self.admits(address, aimed_at(candidate)) {
            // A loopback remote may well come before our own candidates do.
            Err(refusal) if refusal.depends_on_ours() && !self.has_bound(stream) => {
                self.hold(stream, candidate, Some(address), now)
            }
            _ => self.take_remote(stream, candidate, address, now),
        }
    }

    /// Holds a candidate until its name is resolved, and has it resolved if
    /// that is not under way. A name is asked for once at a time, however many
    /// candidates have it.
    fn place_name(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        name: &str,
        now: Time,
    ) -> Result<(), CommandError> {
        let asked = self.held.iter().any(|held| held.awaits(name));
        if !asked && self.held.iter().filter(|held| held.address.is_none()).count() >= MAX_NAMES {
            self.drop_now(DropReason::Name, None, now);
            return Err(CommandError::Refused(Refused::TooManyRemotes));
        }
        self.hold(stream, candidate, None, now)?;
        let waits = self.stream(stream).is_none_or(|s| s.current.gathering.awaits_addresses());
        if !asked && !waits {
            let name = name.to_ascii_lowercase().into();
            self.socket_ops.push_back(SocketOp::ResolveName { name });
        }
        Ok(())
    }

    /// Our links are known: names that came before are asked for on them,
    /// those excepted that are asked for behind the first `waiting` of the
    /// operations.
    pub(super) fn ask_for_names(&mut self, list: u16, waiting: usize) {
        let held = self.held.iter().filter(|h| h.address.is_none() && h.list == list);
        let names: BTreeSet<Box<str>> =
            held.map(|held| held.candidate.host.to_string().to_ascii_lowercase().into()).collect();
        for name in names {
            let resolve = SocketOp::ResolveName { name };
            if !self.socket_ops.iter().skip(waiting).any(|op| *op == resolve) {
                self.socket_ops.push_back(resolve);
            }
        }
    }

    /// Whether it is known which addresses the stream's session has.
    fn has_bound(&self, stream: StreamId) -> bool {
        self.stream(stream).is_some_and(|stream| stream.current.gathering.has_bound())
    }

    /// A name that was asked for has these addresses. One with several is
    /// ignored like one with none: it is no name of a candidate
    /// (draft-ietf-rtcweb-mdns-ice-candidates §3.2.2).
    pub(super) fn name_resolved(&mut self, name: &str, addresses: &[IpAddr], now: Time) {
        let mut distinct = addresses.iter().map(|ip| ip.to_canonical());
        let ip = distinct.next().filter(|ip| distinct.all(|other| other == *ip));
        let mut unresolved = Vec::new();
        for mut held in std::mem::take(&mut self.held) {
            match (held.awaits(name), ip) {
                (true, None) => unresolved.push((held.stream, held.list)),
                (true, Some(ip)) => {
                    let port = held.candidate.port;
                    held.address = Some(net::canonical((ip, port).into()));
                    self.checks.decide_by(held.list, now + DECISION);
                    self.held.push(held);
                }
                (false, _) => self.held.push(held),
            }
        }
        for (stream, list) in unresolved {
            self.drop_now(DropReason::Name, None, now);
            self.let_go(stream, list, now);
        }
    }

    /// Adds a candidate, if the policy admits its address.
    fn take_remote(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        address: SocketAddr,
        now: Time,
    ) -> Result<(), CommandError> {
        if let Err(refusal) = self.judge(address, aimed_at(candidate), now) {
            self.drop_now(DropReason::Address, Some(address), now);
            return Err(CommandError::RemoteAddress(refusal));
        }
        let Some(list) = self.stream(stream).map(|stream| stream.current.list) else {
            return Err(CommandError::UnknownStream(stream));
        };
        match self.checks.add_remote(list, candidate, address) {
            Ok(remote) => {
                self.checks.decide_by(list, now + DECISION);
                self.tell_signalled(list, remote);
            }
            // Nothing is lost by it (RFC 8838 §11).
            Err(Refused::Redundant) => {
                self.record_redundant_remote(stream, candidate, address, now);
                return Ok(());
            }
            // It was on its way when the peer's checks decided: nobody's mistake.
            Err(Refused::Concluded) => {
                self.drop_now(DropReason::Candidate, Some(address), now);
                return Ok(());
            }
            Err(refused) => {
                self.drop_now(DropReason::Candidate, Some(address), now);
                return Err(CommandError::Refused(refused));
            }
        }
        let candidate = || Happened::RemoteCandidate { stream, candidate: candidate.clone() };
        self.log.add(now, candidate);
        Ok(())
    }

    fn hold(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        address: Option<SocketAddr>,
        now: Time,
    ) -> Result<(), CommandError> {
        let Some(list) = self.stream(stream).map(|stream| stream.current.list) else {
            return Err(CommandError::UnknownStream(stream));
        };
        if self.held.iter().filter(|held| held.list == list).count() == MAX_HELD {
            self.drop_now(DropReason::Candidate, address, now);
            return Err(CommandError::Refused(Refused::TooManyRemotes));
        }
        self.held.push(Held { stream, list, candidate: candidate.clone(), address });
        self.checks.hold_remote(list, true);
        self.checks.decide_by(list, now + DECISION);
        Ok(())
    }

    /// Takes the candidates whose time has come. Those that the policy still
    /// refuses once we have all our addresses are dropped.
    pub(super) fn advance_held(&mut self, now: Time) {
        if self.held.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.held);
        // What belongs to the session before a restart is of no use any more.
        all.retain(|held| self.stream(held.stream).is_some_and(|s| s.current.list == held.list));
        let (ready, held): (Vec<_>, Vec<_>) = all.into_iter().partition(|held| {
            let judged = |a: SocketAddr| self.admits(a, aimed_at(&held.candidate)).is_ok();
            held.address.is_some_and(|address| self.has_bound(held.stream) || judged(address))
        });
        self.held = held;
        for Held { stream, candidate, address, .. } in &ready {
            let Some(address) = *address else { continue };
            if self.is_of_another_session(*stream, candidate) {
                self.drop_now(DropReason::Candidate, Some(address), now);
            } else {
                // What became of it is counted; its command has returned.
                let _ = self.take_remote(*stream, candidate, address, now);
            }
        }
        // Only now: the list's components are settled by all of them.
        ready.iter().for_each(|held| self.let_go(held.stream, held.list, now));
    }

    /// A candidate of the stream waits no more.
    fn let_go(&mut self, stream: StreamId, list: u16, now: Time) {
        let waits = self.held.iter().any(|held| held.list == list);
        self.checks.hold_remote(list, waits);
        self.finish_remote(stream, list, now);
    }

    /// Once the peer signals no more candidates for a stream's session, and
    /// none waits any more, the check list is told.
    pub(super) fn finish_remote(&mut self, stream: StreamId, list: u16, now: Time) {
        let session = self.stream(stream).and_then(|stream| stream.session(list));
        let done = session.is_some_and(|session| session.remote_done);
        if done && !self.held.iter().any(|held| held.list == list) {
            self.checks.remote_candidates_done(list);
            // The peer may have fewer components.
            self.update_paths(stream, now);
        }
    }
}

/// By which rules a candidate's address is judged. Nobody ever connects to the
/// port of an active candidate, so that the rules for ports of TCP do not
/// concern it.
fn aimed_at(candidate: &Candidate) -> Protocol {
    match candidate.tcp_type {
        Some(TcpType::Active) => Protocol::Udp,
        _ => candidate.protocol,
    }
}

/// What leads to a candidate that can be checked.
enum Usable<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

fn usable_host(
    candidate: &Candidate,
    resolve_mdns: bool,
) -> Result<Usable<'_>, (DropReason, &'static str)> {
    if candidate.protocol == Protocol::Tcp && candidate.tcp_type.is_none() {
        return Err((DropReason::Unsupported, "a TCP candidate needs its tcptype (RFC 6544 §4.5)"));
    }
    match &candidate.host {
        Host::Ip(ip) => Ok(Usable::Ip(*ip)),
        Host::Name(name) if !is_mdns_name(name) => {
            Err((DropReason::Name, "only <uuid>.local names are ever resolved"))
        }
        Host::Name(_) if !resolve_mdns => {
            Err((DropReason::Name, "names are not resolved by this agent"))
        }
        Host::Name(name) => Ok(Usable::Name(name)),
    }
}
