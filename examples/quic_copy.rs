//! Copies a file over QUIC, on the path that ICE finds. Each side prints a line
//! that is pasted into the other.
//!
//! ```sh
//! cargo run --example quic_copy --features quinn -- send FILE        # on one machine
//! cargo run --example quic_copy --features quinn -- receive FILE     # on the other
//! ```
//!
//! With a STUN server as a third argument (`stun:HOST:PORT`) it gets through
//! NATs. Without arguments 8 MiB pass inside the program, over loopback:
//!
//! ```sh
//! cargo run --example quic_copy --features quinn
//! ```

mod signalling;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::adapter::quinn::{IceSocket, PEER};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::{Agent, AgentConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};

/// The name in the receiver's certificate.
const NAME: &str = "receiver";

type Failure = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => with_itself().await,
        ["send", path] => send_with_a_person(path, None).await,
        ["send", path, stun] => send_with_a_person(path, Some(stun)).await,
        ["receive", path] => receive_with_a_person(path, None).await,
        ["receive", path, stun] => receive_with_a_person(path, Some(stun)).await,
        _ => Err("it is `send FILE [STUN]` or `receive FILE [STUN]`".into()),
    }
}

async fn with_itself() -> Result<(), Failure> {
    let (sender, receiver) = (agent(Role::Controlling, None)?, agent(Role::Controlled, None)?);
    signalling::connect(&sender, &receiver).await?;
    let (certificate, server) = identity()?;
    let file: Vec<u8> = (0..8 << 20).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
    let mut copy = Vec::new();
    let start = Instant::now();
    let (sent, received) = tokio::try_join!(
        send(&sender, certificate, &file[..]),
        receive(&receiver, server, &mut copy),
    )?;
    if (sent, received) != (file.len() as u64, sent) || copy != file {
        return Err("the copy is not the file".into());
    }
    println!("{received} bytes in {:.0?}", start.elapsed());
    Ok(())
}

async fn send_with_a_person(path: &str, stun: Option<&str>) -> Result<(), Failure> {
    let file = tokio::fs::File::open(path).await?;
    let agent = agent(Role::Controlling, stun)?;
    let mut lines = signalling::typed();
    println!("Paste this line into the receiver:\n\n{}\n", signalling::describe(&agent).await?);
    println!("and its line here:");
    let line = lines.recv().await.ok_or("no line came")?;
    let (certificate, line) = line.split_once(' ').ok_or("this is not the receiver's line")?;
    signalling::accept(&agent, line)?;
    let certificate = CertificateDer::from(STANDARD.decode(certificate)?);
    println!("{} bytes were sent", send(&agent, certificate, file).await?);
    Ok(())
}

async fn receive_with_a_person(path: &str, stun: Option<&str>) -> Result<(), Failure> {
    let mut file = tokio::fs::File::create_new(path).await?;
    let agent = agent(Role::Controlled, stun)?;
    let (certificate, server) = identity()?;
    let certificate = STANDARD.encode(&certificate);
    let line = signalling::describe(&agent).await?;
    println!("Paste this line into the sender:\n\n{certificate} {line}\n");
    println!("and its line here:");
    let line = signalling::typed().recv().await.ok_or("no line came")?;
    signalling::accept(&agent, &line)?;
    println!("{} bytes were received", receive(&agent, server, &mut file).await?);
    Ok(())
}

fn agent(role: Role, stun: Option<&str>) -> Result<Agent, Failure> {
    let mut config = AgentConfig::new(role);
    config.ice.include_loopback = true;
    if let Some(server) = stun {
        config.ice.stun_servers.push(server.parse()?);
    }
    Ok(Agent::new(config)?)
}

/// A certificate for this run, and what the receiver serves with it. The
/// sender gets it by signalling and trusts no other.
fn identity() -> Result<(CertificateDer<'static>, ServerConfig), Failure> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.key_pair.serialize_der());
    let server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    Ok((certificate, server))
}

/// An endpoint on the agent's connection. It is made once there is a path, so
/// that QUIC finds out how large packets may be.
async fn endpoint(agent: &Agent, server: Option<ServerConfig>) -> Result<Endpoint, Failure> {
    agent.connected().await?;
    let connection = agent.connection(ComponentId::ONE).ok_or("there is no component 1")?;
    let socket = Arc::new(IceSocket::new(connection));
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Ok(Endpoint::new_with_abstract_socket(config, server, socket, runtime)?)
}

async fn send(
    agent: &Agent,
    certificate: CertificateDer<'static>,
    mut file: impl AsyncRead + Unpin,
) -> Result<u64, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let endpoint = endpoint(agent, None).await?;
    let quic = endpoint.connect_with(config, PEER, NAME)?.await?;
    let (mut out, mut answer) = quic.open_bi().await?;
    let sent = tokio::io::copy(&mut file, &mut out).await?;
    out.finish()?;
    // The receiver says how much it has, and that it has it all.
    let received = answer.read_to_end(8).await?;
    quic.close(0_u32.into(), b"done");
    endpoint.wait_idle().await;
    if received != sent.to_be_bytes() {
        return Err("the receiver has not got everything".into());
    }
    Ok(sent)
}

async fn receive(
    agent: &Agent,
    server: ServerConfig,
    file: &mut (impl AsyncWrite + Unpin),
) -> Result<u64, Failure> {
    let endpoint = endpoint(agent, Some(server)).await?;
    let quic = endpoint.accept().await.ok_or("the endpoint was closed")?.await?;
    let (mut answer, mut input) = quic.accept_bi().await?;
    let received = tokio::io::copy(&mut input, file).await?;
    tokio::io::AsyncWriteExt::flush(file).await?;
    answer.write_all(&received.to_be_bytes()).await?;
    answer.finish()?;
    // The sender closes once it has the answer.
    quic.closed().await;
    Ok(received)
}
