//! A chat between two machines, or two shells. Each prints a line that is
//! pasted into the other; after that, what is typed on one side appears on the
//! other. Ctrl-D ends it.
//!
//! ```sh
//! cargo run --example chat -- controlling      # in one shell
//! cargo run --example chat -- controlled       # in the other
//! ```
//!
//! Without an argument two agents talk inside the program, over loopback:
//!
//! ```sh
//! cargo run --example chat
//! ```

mod signalling;

use std::error::Error;

use floe::candidate::ComponentId;
use floe::check::Role;
use floe::{Agent, AgentConfig, Connection};
use signalling::{accept, connect, describe, typed};

/// What tells the peer that nothing follows: an empty datagram.
const GOODBYE: &[u8] = b"";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("controlling") => with_a_person(Role::Controlling).await,
        Some("controlled") => with_a_person(Role::Controlled).await,
        None => with_itself().await,
        Some(other) => Err(format!("{other}? It is `controlling` or `controlled`").into()),
    }
}

fn agent(role: Role) -> Result<Agent, Box<dyn Error>> {
    let mut config = AgentConfig::new(role);
    // So that it works on a machine without a network too. To reach other
    // networks give it a STUN server: `config.ice.stun_servers.push(…)`.
    config.ice.include_loopback = true;
    Ok(Agent::new(config)?)
}

fn connection(agent: &Agent) -> Result<Connection, Box<dyn Error>> {
    Ok(agent.connection(ComponentId::ONE).ok_or("there is no component 1")?)
}

async fn with_a_person(role: Role) -> Result<(), Box<dyn Error>> {
    let agent = agent(role)?;
    let mut lines = typed();
    println!("Paste this line into the other program:\n\n{}\n", describe(&agent).await?);
    println!("and its line here:");
    accept(&agent, &lines.recv().await.ok_or("no line came")?)?;
    agent.connected().await?;
    println!("connected; what you type goes to the other side");

    let connection = connection(&agent)?;
    let mut buffer = [0; 1_500];
    loop {
        // Both calls are cancel safe: nothing is lost where the other wins.
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => connection.send(line.as_bytes()).await?,
                None => break,
            },
            length = connection.recv(&mut buffer) => match &buffer[..length?] {
                GOODBYE => break,
                text => println!("< {}", String::from_utf8_lossy(text)),
            },
        }
    }
    connection.send(GOODBYE).await?;
    agent.close().await;
    Ok(())
}

async fn with_itself() -> Result<(), Box<dyn Error>> {
    let (alice, bob) = (agent(Role::Controlling)?, agent(Role::Controlled)?);
    connect(&alice, &bob).await?;
    let ends = [("alice", connection(&alice)?), ("bob", connection(&bob)?)];
    let mut buffer = [0; 1_500];
    for (from, text) in [(0, "hello, bob"), (1, "hello, alice"), (0, "goodbye")] {
        let ((name, sender), (_, receiver)) = (&ends[from], &ends[1 - from]);
        sender.send(text.as_bytes()).await?;
        let length = receiver.recv(&mut buffer).await?;
        println!("{name}: {}", String::from_utf8_lossy(&buffer[..length]));
    }
    alice.close().await;
    bob.close().await;
    Ok(())
}
