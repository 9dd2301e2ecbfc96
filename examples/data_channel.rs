//! A data channel as WebRTC has it: SCTP over DTLS over ICE (RFC 8831), with
//! the crates `dtls` and `webrtc-sctp` on a connection of the agent.
//!
//! ```sh
//! cargo run --example data_channel --features webrtc
//! ```

mod signalling;

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use dtls::config::{ClientAuthType, Config};
use dtls::conn::DTLSConn;
use dtls::crypto::Certificate;
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::{Agent, AgentConfig, Connection};
use webrtc_sctp::association::{Association, Config as SctpConfig};
use webrtc_sctp::chunk::chunk_payload_data::PayloadProtocolIdentifier;
use webrtc_sctp::stream::Stream;

/// Both sides know the channel by this number. So it needs no opening
/// handshake (RFC 8832): it is a channel with `negotiated: true`.
const CHANNEL: u16 = 1;

/// What `a=sctp-port` says (RFC 8841).
const SCTP_PORT: u16 = 5_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, bob) = (agent(Role::Controlling)?, agent(Role::Controlled)?);
    signalling::connect(&alice, &bob).await?;
    let ends = [connection(&alice)?, connection(&bob)?];

    // DTLS: each side shows a certificate of its own making, and signalling
    // has told the other which one to expect (`a=fingerprint`, RFC 8122).
    let [ours, theirs] = [certificate()?, certificate()?];
    let [client, server] = ends.map(Arc::new);
    let (client, server) = tokio::try_join!(
        DTLSConn::new(client, dtls_config(&ours, &theirs), true, None),
        DTLSConn::new(server, dtls_config(&theirs, &ours), false, None),
    )?;
    println!("DTLS has authenticated both sides");

    // SCTP: reliable, ordered messages of any size.
    let (client, server) = (Arc::new(client), Arc::new(server));
    let (sctp, peer) = tokio::try_join!(
        Association::client(sctp_config(&client, "alice")),
        Association::server(sctp_config(&server, "bob")),
    )?;
    let kind = PayloadProtocolIdentifier::String;
    let channel = sctp.open_stream(CHANNEL, kind).await?;
    channel.write_sctp(&Bytes::from_static(b"hello over the channel"), kind).await?;
    let peer_channel = peer.accept_stream().await.ok_or("the association ended")?;
    println!("bob received: {}", read(&peer_channel).await?);
    peer_channel.write_sctp(&Bytes::from("x".repeat(50_000)), kind).await?;
    println!("alice received a message of {} bytes", read(&channel).await?.len());

    // From the top down. The agents do not end by it: they are closed last.
    sctp.shutdown().await?;
    client.close().await?;
    server.close().await?;
    alice.close().await;
    bob.close().await;
    Ok(())
}

fn agent(role: Role) -> Result<Agent, Box<dyn Error>> {
    let mut config = AgentConfig::new(role);
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.ice.include_loopback = true;
    Ok(Agent::new(config)?)
}

fn connection(agent: &Agent) -> Result<Connection, Box<dyn Error>> {
    Ok(agent.connection(ComponentId::ONE).ok_or("there is no component 1")?)
}

fn certificate() -> Result<Certificate, dtls::Error> {
    Certificate::generate_self_signed(vec!["peer".to_owned()])
}

/// Shows `own`, and takes nobody but the owner of `peer`.
fn dtls_config(own: &Certificate, peer: &Certificate) -> Config {
    let expected = peer.certificate.first().map(|certificate| certificate.to_vec());
    Config {
        certificates: vec![own.clone()],
        client_auth: ClientAuthType::RequireAnyClientCert,
        // No authority has signed it; it is compared instead.
        insecure_skip_verify: true,
        verify_peer_certificate: Some(Arc::new(move |shown, _| {
            if shown.first() == expected.as_ref() {
                return Ok(());
            }
            Err(dtls::Error::Other("the certificate is not the one that was signalled".to_owned()))
        })),
        ..Config::default()
    }
}

fn sctp_config(dtls: &Arc<DTLSConn>, name: &str) -> SctpConfig {
    SctpConfig {
        net_conn: dtls.clone(),
        // Zeros stand for the defaults.
        max_receive_buffer_size: 0,
        max_message_size: 0,
        mtu: 0,
        name: name.to_owned(),
        remote_port: SCTP_PORT,
        local_port: SCTP_PORT,
    }
}

async fn read(channel: &Stream) -> Result<String, Box<dyn Error>> {
    let mut buffer = vec![0; 1 << 16];
    let (length, _) = channel.read_sctp(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
