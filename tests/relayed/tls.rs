//! coturn over TLS, with a certificate that it signed itself.

use floe::agent::Transports;
use floe::check::Role;
use floe::driver::RootCertificates;
use floe::gather::Cause;

use crate::coturn::{Coturn, Options};
use crate::{connect, connections, exchange, gathered, relay_only, relay_only_with, server};

#[tokio::test]
async fn two_relays_of_coturn_carry_data_over_tls() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&format!("turns:{}", coturn.tls_address))];
    for transports in [Transports::UDP, Transports::TCP] {
        let agents = [Role::Controlling, Role::Controlled].map(|role| {
            relay_only_with(role, &servers, |config| {
                config.ice.transports = transports;
                config.roots = RootCertificates::none();
                config.roots.add(coturn.certificate_pem.as_bytes()).unwrap();
            })
        });
        let agents = agents.each_ref();
        connect(agents).await;
        exchange(&connections(agents)).await;
    }
}

/// Nobody whom this agent trusts has signed the certificate.
#[tokio::test]
async fn a_certificate_without_its_root_is_refused_and_the_rule_is_named() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let servers = [server(&format!("turns:{}", coturn.tls_address))];
    let (candidates, errors) = gathered(&relay_only(Role::Controlling, &servers)).await;
    assert!(candidates.is_empty());
    let [(Cause::Tls, 701, text)] = errors.as_slice() else { panic!("{errors:?}") };
    let rule = "its certificate comes from an issuer that is not trusted here";
    assert_eq!(*text, format!("no TLS with {}: {rule}", coturn.tls_address));
}
