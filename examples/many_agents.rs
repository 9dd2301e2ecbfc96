//! A server that serves many peers on one UDP port: each has an agent of its
//! own, and all agents share a socket. Firewalls need one open port, and the
//! kernel holds one socket.
//!
//! ```sh
//! cargo run --example many_agents
//! ```

mod signalling;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use floe::candidate::ComponentId;
use floe::check::Role;
use floe::driver::SharedSocket;
use floe::{Agent, AgentConfig, Connection};
use signalling::connect;

const PEERS: usize = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // On a server: the address of its network card and a port of your choice.
    let socket = SharedSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("all agents are on {}", socket.local_address());

    let mut sessions = Vec::new();
    for number in 0..PEERS {
        let mut config = AgentConfig::new(Role::Controlled);
        config.sockets = vec![socket.clone()];
        config.ice.include_loopback = true;
        let server = Agent::new(config)?;
        let client = client()?;
        connect(&client, &server).await?;
        tokio::spawn(echo(connection(&server)?, number));
        sessions.push((client, server));
    }

    let mut buffer = [0; 1_500];
    for (number, (client, _)) in sessions.iter().enumerate() {
        let connection = connection(client)?;
        connection.send(b"who serves me?").await?;
        let length = connection.recv(&mut buffer).await?;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if answer != format!("agent {number}: who serves me?") {
            return Err(format!("client {number} was answered {answer:?}").into());
        }
    }
    println!("{PEERS} peers were served, each by its own agent");
    println!("datagrams that belonged to no agent: {}", socket.unrouted());
    Ok(())
}

/// Answers everything that comes, until the agent is closed.
async fn echo(connection: Connection, number: usize) -> std::io::Result<()> {
    let mut buffer = [0; 1_500];
    loop {
        let length = connection.recv(&mut buffer).await?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        connection.send(format!("agent {number}: {text}").as_bytes()).await?;
    }
}

/// A client has a socket of its own, here on loopback.
fn client() -> Result<Agent, Box<dyn Error>> {
    let mut config = AgentConfig::new(Role::Controlling);
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.ice.include_loopback = true;
    Ok(Agent::new(config)?)
}

fn connection(agent: &Agent) -> Result<Connection, Box<dyn Error>> {
    Ok(agent.connection(ComponentId::ONE).ok_or("there is no component 1")?)
}
