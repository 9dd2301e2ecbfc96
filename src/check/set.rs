//! The check-list set (RFC 8445 §6.1.2, §6.1.4).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::check::candidates::RemoteEntry;
use crate::check::flight::Flights;
use crate::check::groups::Groups;
use crate::check::list::List;
use crate::check::pair::priority_in;
use crate::check::{
    Component, ListState, Local, LocalId, NominationPolicy, Notice, Pair, PairId, PairState,
    Remote, RemoteId, Role,
};
use crate::timer::Time;

/// Bounds on what a peer can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pairs over all check lists (RFC 8445 §6.1.2.5).
    pub pairs: usize,
    /// Signalled remote candidates a stream.
    pub remotes: usize,
    /// Peer-reflexive remote candidates a stream.
    pub found: usize,
}

/// The check lists of an agent and everything that their checks share.
#[derive(Debug)]
pub struct Checks {
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    /// The one before it; what we sent with it may still be on its way.
    pub(super) former_tie_breaker: Option<u64>,
    /// The number of our last nomination.
    pub(super) nominations: u32,
    /// This agent sends no checks.
    pub(super) lite: bool,
    pub(super) ta: Duration,
    pub(super) limits: Limits,
    pub(super) policy: Arc<dyn NominationPolicy>,
    pub(super) lists: Vec<List>,
    pub(super) pairs: Vec<Pair>,
    /// Numbers of pairs that made room.
    pub(super) free: Vec<PairId>,
    pub(super) groups: Groups,
    pub(super) flights: Flights,
    /// Pairs on all lists; those Waiting; those In-Progress; those Failed.
    pub(super) listed: usize,
    pub(super) waiting: u32,
    pub(super) in_progress: u32,
    pub(super) failed: u32,
    /// The list whose turn it is (§6.1.4.1).
    pub(super) next_list: usize,
    /// When the next new check is looked at: the end of Ta, or, once
    /// `reserved`, the slot that the pacer gave.
    pub(super) slot: Option<Time>,
    pub(super) reserved: bool,
    /// Ta: no new check before this, and no retransmission before that.
    pub(super) next_start: Time,
    pub(super) next_again: Time,
    /// When a check is to leave that cannot wait.
    pub(super) kept_free: Option<Time>,
    /// Frozen pairs may be waiting for a change of their group.
    pub(super) thaw: bool,
    /// When the patience timer ends (RFC 8863).
    pub(super) patience: Option<Time>,
    pub(super) starts: VecDeque<crate::check::Start>,
    pub(super) notices: VecDeque<Notice>,
}

impl Checks {
    /// A set without streams. `ta` is the pacing that we offer.
    pub fn new(
        role: Role,
        tie_breaker: u64,
        ta: Duration,
        limits: Limits,
        policy: Arc<dyn NominationPolicy>,
    ) -> Self {
        Checks {
            role,
            tie_breaker,
            former_tie_breaker: None,
            nominations: 0,
            lite: false,
            ta,
            limits,
            policy,
            lists: Vec::new(),
            pairs: Vec::new(),
            free: Vec::new(),
            groups: Groups::default(),
            flights: Flights::default(),
            listed: 0,
            waiting: 0,
            in_progress: 0,
            failed: 0,
            next_list: 0,
            slot: None,
            reserved: false,
            next_start: Time::ZERO,
            next_again: Time::ZERO,
            kept_free: None,
            thaw: false,
            patience: None,
            starts: VecDeque::new(),
            // What one input brings fits.
            notices: VecDeque::with_capacity(8),
        }
    }

    /// Adds a stream with components 1 to `components`, and returns its
    /// number: that of a list which was removed, or the next.
    pub fn add_stream(&mut self, components: u16) -> u16 {
        let vacant = self.lists.iter().position(|list| list.components.is_empty());
        let at = vacant.unwrap_or_else(|| {
            self.lists.reserve_exact(1);
            self.lists.push(List::vacant());
            self.lists.len() - 1
        });
        self.lists[at] = List::new(components);
        u16::try_from(at).expect("invariant: the agent bounds its streams")
    }

    /// The role that the agent has now.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The number that decides role conflicts (RFC 8445 §7.3.1.1).
    pub fn tie_breaker(&self) -> u64 {
        self.tie_breaker
    }

    /// Whether it is our tie-breaker, or the one before it.
    pub fn has_had_tie_breaker(&self, tie_breaker: u64) -> bool {
        [Some(self.tie_breaker), self.former_tie_breaker].contains(&Some(tie_breaker))
    }

    /// Ta, as negotiated.
    pub fn pacing(&self) -> Duration {
        self.ta
    }

    /// A pair. Pairs that were taken off their list stay readable until their
    /// number is used again.
    pub fn pair(&self, id: PairId) -> &Pair {
        &self.pairs[id.0 as usize]
    }

    /// Our candidate.
    pub fn local(&self, stream: u16, id: LocalId) -> &Local {
        &self.lists[usize::from(stream)].local(id).local
    }

    /// The peer's candidate.
    pub fn remote(&self, stream: u16, id: RemoteId) -> &Remote {
        &self.lists[usize::from(stream)].remote(id).remote
    }

    /// The pairs of a stream, those that were taken off its list included.
    pub fn pairs(&self, stream: u16) -> impl Iterator<Item = (PairId, &Pair)> {
        (0..).map(PairId).zip(&self.pairs).filter(move |(_, p)| p.stream == stream)
    }

    /// The local candidates of a stream's list.
    pub fn locals(&self, stream: u16) -> impl Iterator<Item = (LocalId, &Local)> {
        let entries = self.lists.get(usize::from(stream)).map(|l| l.locals.as_slice());
        (0..).map(LocalId).zip(entries.unwrap_or_default().iter().map(|entry| &entry.local))
    }

    /// The number of pairs on all check lists.
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// The remote candidates of a stream.
    pub fn remotes(&self, stream: u16) -> impl Iterator<Item = (RemoteId, &Remote)> {
        let entries = self.lists.get(usize::from(stream)).map(|l| l.remotes.as_slice());
        (0..)
            .map(RemoteId)
            .zip(entries.unwrap_or_default())
            .filter(|(_, r)| !r.gone)
            .map(|(id, RemoteEntry { remote, .. })| (id, remote))
    }

    /// Whether a local candidate with this base has this address: another
    /// one like it is redundant (RFC 8445 §5.1.3).
    pub fn knows_local(&self, stream: u16, base: u32, address: SocketAddr) -> bool {
        self.local_at(stream, base, address).is_some()
    }

    /// The local candidate with this base and address.
    pub fn local_at(&self, stream: u16, base: u32, address: SocketAddr) -> Option<LocalId> {
        let locals = &self.lists.get(usize::from(stream))?.locals;
        let at = locals.iter().position(|l| l.local.base == base && l.local.address == address)?;
        u16::try_from(at).ok().map(LocalId)
    }

    /// [`Checks::local_at`] for candidates that are an image of this base.
    pub fn image_at(&self, stream: u16, base: u32, address: SocketAddr) -> Option<LocalId> {
        let is_it = |local: &Local| (local.base, local.address) == (base, address);
        let locals = &self.lists.get(usize::from(stream))?.locals;
        let at = locals.iter().position(|l| !l.pairable && is_it(&l.local))?;
        u16::try_from(at).ok().map(LocalId)
    }

    /// The components of a stream.
    pub fn components(&self, stream: u16) -> &[Component] {
        self.lists.get(usize::from(stream)).map(|l| &*l.components).unwrap_or_default()
    }

    /// The state of a check list.
    pub fn list_state(&self, stream: u16) -> Option<ListState> {
        self.lists.get(usize::from(stream)).map(|l| l.state)
    }

    /// The next thing to tell.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next request to send.
    pub fn poll_start(&mut self) -> Option<crate::check::Start> {
        self.starts.pop_front()
    }

    pub(super) fn pair_mut(&mut self, id: PairId) -> &mut Pair {
        &mut self.pairs[id.0 as usize]
    }

    pub(super) fn list_of(&mut self, id: PairId) -> &mut List {
        let stream = self.pair(id).stream;
        &mut self.lists[usize::from(stream)]
    }

    pub(super) fn component_of(&mut self, id: PairId) -> Option<&mut Component> {
        let component = self.pair(id).component;
        self.list_of(id).component(component)
    }

    /// The one place where a pair changes its state.
    pub(super) fn set_state(&mut self, id: PairId, state: PairState) {
        let Pair { state: old, priority, group, .. } = *self.pair(id);
        if old == state {
            return;
        }
        let was_unstarted = self.pair(id).is_unstarted();
        self.pair_mut(id).state = state;
        let is_unstarted = self.pair(id).is_unstarted();
        if let Some(count) = self.groups.group(group).count(old) {
            *count -= 1;
        }
        if let Some(count) = self.groups.group(group).count(state) {
            *count += 1;
        }
        match old {
            PairState::Waiting => self.waiting -= 1,
            PairState::InProgress => self.in_progress -= 1,
            PairState::Failed => self.failed -= 1,
            _ => {}
        }
        match state {
            PairState::Waiting => self.waiting += 1,
            PairState::InProgress => self.in_progress += 1,
            PairState::Failed => self.failed += 1,
            _ => {}
        }
        match (was_unstarted, is_unstarted) {
            (false, true) => self.list_of(id).insert_unstarted(priority, id),
            (true, false) => self.list_of(id).remove_unstarted(priority, id),
            _ => {}
        }
        self.thaw = true;
    }

    /// Switches the role; priorities depend on it (RFC 8445 §7.3.1.1).
    pub fn switch_role(&mut self, role: Role) {
        if self.role == role {
            return;
        }
        self.role = role;
        for list in &mut self.lists {
            for &id in &list.pairs {
                let pair = &mut self.pairs[id.0 as usize];
                let (local, remote) = (list.local(pair.local), list.remote(pair.remote));
                pair.priority = priority_in(role, local.local.priority, remote.remote.priority);
                // The check that would have nominated it is of no use now.
                let nominating = std::mem::take(&mut pair.flags.nominating);
                pair.flags.queued &= !(nominating && pair.state == PairState::Succeeded);
            }
            list.triggered.retain(|id| self.pairs[id.0 as usize].flags.queued);
            for entry in &mut list.unstarted {
                entry.0 = self.pairs[entry.1.0 as usize].priority;
            }
            list.unstarted.sort_unstable();
            for component in &mut list.components {
                component.nominee = None;
                component.reconsider = None;
            }
        }
        self.notices.push_back(Notice::RoleSwitched(role));
        self.nominate_again();
    }

    /// A peer that nominated and then lost a role conflict has forgotten its
    /// nomination, while we selected the pair: now we nominate it.
    fn nominate_again(&mut self) {
        if self.role != Role::Controlling {
            return;
        }
        let running = self.lists.iter().filter(|l| l.started);
        let components = running.flat_map(|l| &l.components);
        for pair in components.filter_map(|c| c.selected).collect::<Vec<_>>() {
            self.pair_mut(pair).flags.nominating = true;
            self.trigger(pair);
        }
    }

    /// Both sides' pacing is known: the larger one counts (RFC 8839 §5.5).
    pub fn agree_pacing(&mut self, theirs: Duration) {
        self.ta = self.ta.max(theirs);
    }

    /// Ends everything: nothing is sent any more and no timer runs.
    pub fn close(&mut self) {
        self.flights.clear();
        self.starts.clear();
        self.slot = None;
        self.patience = None;
        for list in &mut self.lists {
            list.started = false;
            list.decide_by = None;
            list.triggered.clear();
            list.unstarted.clear();
            for component in &mut list.components {
                component.consent = None;
                component.standby = Vec::new();
                component.reconsider = None;
                component.send = None;
            }
        }
    }
}
