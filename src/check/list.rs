//! A check list: one data stream's pairs, in the order of their priority.

use std::net::SocketAddr;

use crate::candidate::{ComponentId, PairingClass};
use crate::check::candidates::{LocalEntry, RemoteEntry};
use crate::check::consent::{Consent, Suspension};
use crate::check::{LocalId, Pair, PairId, Remote, RemoteId};
use crate::timer::Time;
use std::collections::VecDeque;

/// The state of a check list (RFC 8445 §6.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListState {
    /// Neither of the others.
    Running,
    /// Every component has a selected pair.
    Completed,
    /// A component can get none.
    Failed,
}

/// What a component has come to.
#[derive(Debug)]
pub struct Component {
    /// Which one.
    pub id: ComponentId,
    /// The pair that carries data.
    pub send: Option<PairId>,
    /// The selected pair.
    pub selected: Option<PairId>,
    /// Consent for the pair that carried data expired, and no other took over.
    pub lost: bool,
    /// The peer revoked it (RFC 7675 §5.2).
    pub revoked: bool,
    /// Consent on the pair that carries data.
    pub(super) consent: Option<Box<Consent>>,
    /// Consent on the valid pairs that stand by.
    pub(super) standby: Vec<Consent>,
    /// When the selected pair was selected.
    pub(super) selected_at: Option<Time>,
    /// The number of the newest nomination that the peer made with one.
    pub(super) nomination: Option<u32>,
    /// The pair that we are nominating.
    pub(super) nominee: Option<PairId>,
    /// When the policy wants to be asked again.
    pub(super) reconsider: Option<Time>,
    /// When the first pair became valid.
    pub(super) first_valid: Option<Time>,
}

impl Component {
    pub(super) fn new(id: ComponentId) -> Self {
        Component {
            id,
            send: None,
            selected: None,
            lost: false,
            revoked: false,
            consent: None,
            standby: Vec::new(),
            selected_at: None,
            nomination: None,
            nominee: None,
            reconsider: None,
            first_valid: None,
        }
    }

    /// The component has its selected pair, or had consent and lost it: no
    /// other pair can take over but by a nomination or a restart.
    pub(super) fn is_concluded(&self) -> bool {
        self.selected.is_some() || self.lost
    }

    /// Nothing is nominated and no consent is asked for any more.
    pub(super) fn stop(&mut self) {
        self.selected = None;
        self.nominee = None;
        self.reconsider = None;
        self.consent = None;
        self.standby = Vec::new();
    }

    /// Consent ran out while the machine slept, or its connection ended, and
    /// it was not given again yet: no data may be sent.
    pub fn is_suspended(&self) -> bool {
        self.suspended().is_some()
    }

    /// Why no data may be sent before the peer consents again.
    pub fn suspended(&self) -> Option<Suspension> {
        self.consent.as_ref().and_then(|c| c.suspended())
    }

    /// Consent for the pair that carries data is asked for at this time.
    pub(super) fn ask_at(&mut self, at: Time) {
        if let Some(consent) = &mut self.consent {
            consent.ask_at(at);
        }
    }

    /// A consent check is under way.
    pub fn awaits_consent(&self) -> bool {
        self.consent.as_ref().is_some_and(|c| c.is_awaited())
    }

    /// How many consent checks in a row went unanswered.
    pub fn missed(&self) -> usize {
        self.consent.as_ref().map_or(0, |c| c.missed())
    }
}

/// One data stream's check list, with its candidates and valid pairs.
#[derive(Debug)]
pub(super) struct List {
    pub(super) state: ListState,
    pub(super) components: Box<[Component]>,
    pub(super) locals: Vec<LocalEntry>,
    pub(super) remotes: Vec<RemoteEntry>,
    /// Remote candidates that were signalled, and those found.
    pub(super) signalled: usize,
    pub(super) found: usize,
    /// All pairs on the list.
    pub(super) pairs: Vec<PairId>,
    /// The Frozen and Waiting ones by priority, the highest last.
    pub(super) unstarted: Vec<(u64, PairId)>,
    /// The valid list (RFC 8445 §7.2.5.3.2).
    pub(super) valid: Vec<PairId>,
    /// The triggered-check queue (§6.1.4.1).
    pub(super) triggered: VecDeque<PairId>,
    /// The peer's parameters are known: checks may run.
    pub(super) started: bool,
    /// A restart gave the stream another list.
    pub(super) retired: bool,
    /// Both sides know renomination.
    pub(super) renomination: bool,
    /// Candidates are taken for as long as the session lasts.
    pub(super) continual: bool,
    /// A selected pair leads through a third party, and both sides could move to
    /// a better one: direct pairs are still checked.
    pub(super) seeking: bool,
    /// Neither side sends checks.
    pub(super) both_lite: bool,
    /// When a list without a valid pair is given up, whatever is pending.
    pub(super) decide_by: Option<Time>,
    /// No more local candidates will come.
    pub(super) local_done: bool,
    /// No more remote candidates will be signalled.
    pub(super) remote_done: bool,
    /// A signalled candidate waits for its address.
    pub(super) remote_held: bool,
}

impl List {
    pub(super) fn new(components: u16) -> Self {
        let ids = (1..=components).filter_map(ComponentId::new);
        let mut components = Vec::with_capacity(usize::from(components));
        components.extend(ids.map(Component::new));
        List {
            state: ListState::Running,
            components: components.into(),
            locals: Vec::new(),
            remotes: Vec::new(),
            signalled: 0,
            found: 0,
            pairs: Vec::new(),
            unstarted: Vec::new(),
            valid: Vec::new(),
            triggered: VecDeque::new(),
            started: false,
            retired: false,
            renomination: false,
            continual: false,
            seeking: false,
            both_lite: false,
            decide_by: None,
            local_done: false,
            remote_done: false,
            remote_held: false,
        }
    }

    /// A list that no stream has.
    pub(super) fn vacant() -> Self {
        List { retired: true, ..List::new(0) }
    }

    pub(super) fn component(&mut self, id: ComponentId) -> Option<&mut Component> {
        self.components.iter_mut().find(|c| c.id == id)
    }

    pub(super) fn local(&self, id: LocalId) -> &LocalEntry {
        &self.locals[usize::from(id.0)]
    }

    pub(super) fn remote(&self, id: RemoteId) -> &RemoteEntry {
        &self.remotes[usize::from(id.0)]
    }

    /// The number of the remote candidate with this address.
    pub(super) fn remote_at(
        &self,
        component: ComponentId,
        address: SocketAddr,
        class: PairingClass,
    ) -> Option<usize> {
        self.remotes.iter().position(|entry| {
            let Remote { component: c, address: a, class: k, .. } = entry.remote;
            !entry.gone && (c, a, k) == (component, address, class)
        })
    }

    pub(super) fn has_pair(&self, pairs: &[Pair], local: LocalId, remote: RemoteId) -> bool {
        // Most candidates are new and have none.
        self.remote(remote).pairs > 0
            && self.pairs.iter().any(|id| {
                let pair = &pairs[id.0 as usize];
                pair.local == local && pair.remote == remote
            })
    }

    /// Whether pairs on it are checked by their turn.
    pub(super) fn is_checked(&self) -> bool {
        let running = match self.state {
            ListState::Running => true,
            ListState::Completed => self.continual || self.seeking,
            ListState::Failed => false,
        };
        self.started && running
    }

    /// Whether a candidate for the component still makes pairs.
    pub(super) fn takes_candidates(&self, component: &Component) -> bool {
        let running = self.state == ListState::Running && component.selected.is_none();
        let goes_on = self.continual || self.seeking;
        !self.retired && (running || goes_on && self.state != ListState::Failed)
    }

    /// When the list is given up; `None` where that is settled, or needs not
    /// be yet.
    pub(super) fn decision(&self) -> Option<Time> {
        let undecided = self.components.iter().any(|c| c.send.is_none());
        let runs = self.started && self.state == ListState::Running;
        self.decide_by.filter(|_| runs && undecided)
    }

    /// Puts a Frozen or Waiting pair in its place.
    pub(super) fn insert_unstarted(&mut self, priority: u64, pair: PairId) {
        let at = self.unstarted.partition_point(|entry| *entry < (priority, pair));
        self.unstarted.insert(at, (priority, pair));
    }

    pub(super) fn remove_unstarted(&mut self, priority: u64, pair: PairId) {
        if let Ok(at) = self.unstarted.binary_search(&(priority, pair)) {
            self.unstarted.remove(at);
        }
    }
}
