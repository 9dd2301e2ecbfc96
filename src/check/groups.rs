//! Foundation groups: the pairs of all check lists that share a pair of
//! foundations (RFC 8445 §6.1.2.6).

use std::collections::BTreeMap;

use crate::candidate::Foundation;
use crate::check::{PairId, PairState};

/// How many pairs of a group are in which state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) frozen: u32,
    pub(super) waiting: u32,
    pub(super) in_progress: u32,
    pub(super) succeeded: u32,
    /// The pair that was set to Waiting first, for the others.
    pub(super) leader: Option<PairId>,
    /// A check of the group had to be sent again: nothing waits for it.
    pub(super) overdue: bool,
}

impl Group {
    /// None of its pairs is being checked or about to be.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting == 0 && self.in_progress == 0
    }

    pub(super) fn count(&mut self, state: PairState) -> Option<&mut u32> {
        match state {
            PairState::Frozen => Some(&mut self.frozen),
            PairState::Waiting => Some(&mut self.waiting),
            PairState::InProgress => Some(&mut self.in_progress),
            PairState::Succeeded => Some(&mut self.succeeded),
            PairState::Failed | PairState::Removed => None,
        }
    }
}

/// All groups of a check-list set, and small numbers for foundations.
#[derive(Debug, Default)]
pub(super) struct Groups {
    local: Vec<Foundation>,
    remote: Vec<Foundation>,
    /// Peer-reflexive remotes have foundations that equal no other.
    unique: u16,
    by_key: BTreeMap<(u16, u16), u16>,
    groups: Vec<Group>,
}

impl Groups {
    pub(super) fn local(&mut self, foundation: Foundation) -> u16 {
        intern(&mut self.local, foundation)
    }

    pub(super) fn remote(&mut self, foundation: Foundation) -> u16 {
        intern(&mut self.remote, foundation)
    }

    /// A remote foundation unlike all others (RFC 8445 §7.3.1.3). Numbers
    /// come from the upper half of the range and repeat only after 32,768
    /// peer-reflexive candidates.
    pub(super) fn unique_remote(&mut self) -> u16 {
        self.unique = self.unique.wrapping_add(1);
        self.unique | 0x8000
    }

    /// The group of a pair of foundations.
    pub(super) fn of(&mut self, local: u16, remote: u16) -> u16 {
        *self.by_key.entry((local, remote)).or_insert_with(|| {
            self.groups.push(Group::default());
            u16::try_from(self.groups.len() - 1).unwrap_or(u16::MAX)
        })
    }

    pub(super) fn group(&mut self, id: u16) -> &mut Group {
        let index = usize::from(id).min(self.groups.len().saturating_sub(1));
        &mut self.groups[index]
    }
}

fn intern(known: &mut Vec<Foundation>, foundation: Foundation) -> u16 {
    let at = known.iter().position(|f| *f == foundation).unwrap_or_else(|| {
        known.push(foundation);
        known.len() - 1
    });
    u16::try_from(at).unwrap_or(u16::MAX) & 0x7fff
}
