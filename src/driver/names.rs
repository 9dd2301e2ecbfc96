//! What an agent has to do with names of candidates. Without the feature
//! `mdns` no name is found, and nobody answers for ours.

use std::net::IpAddr;

use crate::agent::LocalAddress;

/// An agent's names and questions; dropping it takes them back.
#[derive(Default)]
pub(super) struct Names {
    #[cfg(feature = "mdns")]
    member: Option<super::mdns::Member>,
}

#[cfg(feature = "mdns")]
impl Names {
    /// The address of a name on one of the links of `addresses`; empty if
    /// there is none.
    pub(super) fn resolve(
        &mut self,
        name: Box<str>,
        addresses: &[LocalAddress],
    ) -> impl Future<Output = Vec<IpAddr>> + use<> {
        let answer = self.member().map(|member| member.ask(name, addresses));
        async move {
            match answer {
                Some(answer) => answer.await.unwrap_or_default(),
                None => Vec::new(),
            }
        }
    }

    /// Answers for the name of `ip`, which is one of `addresses`.
    pub(super) fn publish(&mut self, name: Box<str>, ip: IpAddr, addresses: &[LocalAddress]) {
        let address = addresses.iter().find(|address| address.ip == ip);
        if let (Some(address), Some(member)) = (address, self.member()) {
            member.publish(name, address);
        }
    }

    fn member(&mut self) -> Option<&super::mdns::Member> {
        if self.member.is_none() {
            self.member = super::mdns::Member::join()
                .inspect_err(|error| tracing::warn!(%error, "no names of candidates"))
                .ok();
        }
        self.member.as_ref()
    }
}

#[cfg(not(feature = "mdns"))]
impl Names {
    /// No address.
    pub(super) fn resolve(
        &mut self,
        _: Box<str>,
        _: &[LocalAddress],
    ) -> impl Future<Output = Vec<IpAddr>> + use<> {
        std::future::ready(Vec::new())
    }

    /// Does nothing.
    pub(super) fn publish(&mut self, _: Box<str>, _: IpAddr, _: &[LocalAddress]) {}
}
