//! The addresses of this machine: those that gathering starts with, and what
//! becomes of them.

use std::time::Duration;

use super::{Machine, Shared};
use crate::agent::{Input, LocalAddress};
use crate::driver::clock;
use crate::driver::error::AgentError;
use crate::driver::interfaces::{Interfaces, add_missing};
use crate::driver::watch::{self, Member, Membership};

/// What the agent knows of the network.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// The addresses that interfaces have and that pass the agent's filter;
    /// `None` before gathering.
    known: Option<Vec<LocalAddress>>,
    /// Held while the agent follows them.
    membership: Option<Membership>,
}

impl Network {
    pub(super) fn stop(&mut self) {
        self.membership = None;
    }
}

/// Something happened to the network of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) struct NetworkChange {
    /// The addresses that the agent may use from now on, if they are others
    /// than before.
    pub(in crate::driver) addresses: Option<Vec<LocalAddress>>,
    /// How long the machine slept, if it did: whatever the addresses are, NATs
    /// may have forgotten us.
    pub(in crate::driver) slept: Option<Duration>,
}

impl Shared {
    /// Starts gathering, and to follow the addresses of this machine.
    pub(in crate::driver) fn gather(&self) -> Result<(), AgentError> {
        // Before the first look, so that no change is missed.
        let membership = self.watch_network.then(|| watch::join(self.me.clone()));
        let interfaces = Interfaces::look().map_err(AgentError::Interfaces)?;
        self.command(|machine| {
            if machine.closed {
                return Err(AgentError::Closed);
            }
            if machine.network.known.is_none() {
                machine.network.membership = membership;
                self.tell_addresses(machine, &interfaces);
            }
            Ok(())
        })
    }

    /// The core wants to know the addresses of this machine. Where the system
    /// does not tell, those are taken that it told before.
    pub(super) fn list_addresses(&self, machine: &mut Machine) {
        match Interfaces::look() {
            Ok(interfaces) => self.tell_addresses(machine, &interfaces),
            Err(error) => {
                tracing::warn!(%error, "the addresses of this machine are not told");
                machine.tell_core();
            }
        }
    }

    /// Tells the core of those addresses that the agent may use, and of those
    /// that it was to use and does not find.
    fn tell_addresses(&self, machine: &mut Machine, interfaces: &Interfaces) {
        let known = interfaces.pass(&self.filter);
        machine.addresses.clone_from(&known);
        machine.network.known = Some(known);
        add_missing(&mut machine.addresses, &self.filter);
        machine.tell_core();
    }

    /// Takes notice of a change of the network.
    pub(in crate::driver) fn network_changed(&self, change: NetworkChange) {
        tracing::info!(
            addresses = change.addresses.as_ref().map(Vec::len),
            slept = ?change.slept,
            "the network changed"
        );
        self.command(|machine| {
            if machine.closed {
                return;
            }
            if let Some(addresses) = change.addresses {
                machine.addresses.clone_from(&addresses);
                machine.network.known = Some(addresses);
                machine.tell_core();
            }
            if let Some(slept) = change.slept {
                machine.core.handle_input(clock::now(), Input::Woke { slept });
            }
        });
    }
}

impl Member for Shared {
    fn looked(&self, interfaces: &Interfaces, slept: Option<Duration>) {
        let now = interfaces.pass(&self.filter);
        let Some(same) = self.machine.lock().network.known.as_ref().map(|known| {
            // The system lists them in any order.
            known.len() == now.len() && known.iter().all(|address| now.contains(address))
        }) else {
            return;
        };
        if slept.is_some() || !same {
            self.network_changed(NetworkChange { addresses: (!same).then_some(now), slept });
        }
    }
}

impl Machine {
    fn tell_core(&mut self) {
        let Machine { core, addresses, .. } = self;
        core.handle_input(clock::now(), Input::LocalAddresses(addresses));
    }
}

#[cfg(test)]
mod tests;
