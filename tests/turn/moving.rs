//! Allocations that move to another path (RFC 8016).

use floe::stun::{Message, Method};
use floe::turn::{Cause, Event, Settings};

use crate::server::{Reply, Server};
use crate::world::{World, settings};
use crate::{addr, end, ip, ms, secs};

fn mobile() -> Settings {
    Settings { mobility: true, ..settings() }
}

fn server(ticket: Option<u8>) -> Server {
    Server { ticket, ..Server::new() }
}

fn moved(world: &mut World) -> bool {
    let mut is_moved = false;
    world.server.path += 1;
    world.act(|client, now, rng| is_moved = client.moved(now, rng));
    is_moved
}

fn tickets(world: &World) -> Vec<Option<Vec<u8>>> {
    let messages = world.server.seen.iter().map(|(_, bytes)| Message::parse(bytes).unwrap());
    messages.map(|message| message.mobility_ticket().map(<[u8]>::to_vec)).collect()
}

#[test]
fn an_allocation_moves_with_its_ticket() {
    let mut world = World::live(mobile(), server(Some(1)));
    world.act(|client, now, rng| client.bind_channel(addr("203.0.113.1:1"), now, rng));
    world.run_for(secs(1));
    world.server.seen.clear();
    assert!(moved(&mut world));
    world.act(|client, now, rng| client.permit(ip("203.0.113.2"), now, rng));
    world.run_for(secs(1));
    assert!(moved(&mut world), "and again, with the next ticket");
    world.run_until(ms(400_000));
    assert_eq!(tickets(&world)[..3], [Some(vec![1; 5]), None, Some(vec![2; 5])]);
    assert_eq!(world.client.channel(addr("203.0.113.1:1")), Some(0x4000));
    world.run_until(ms(1_200_000));
    assert_eq!(world.events.len(), 3, "its peers notice nothing: {:?}", world.events);
    assert!(world.server.allocation.is_some_and(|until| until > world.now));
    // It counts from the move; a refresh from the same path has no ticket.
    assert_eq!(world.timetable(Method::REFRESH), [1_200, 2_200, 542_200, 1_082_200]);
    assert_eq!(tickets(&world).iter().flatten().count(), 2);
}

#[test]
fn requests_that_were_on_their_way_go_again_behind_the_ticket() {
    let mut world = World::live(mobile(), server(Some(1)));
    world.act(|client, now, rng| client.permit(ip("203.0.113.2"), now, rng));
    assert!(moved(&mut world));
    world.run_for(secs(1));
    assert_eq!(world.timetable(Method::REFRESH), [205]);
    assert_eq!(world.timetable(Method::CREATE_PERMISSION), [200, 305]);
    assert!(world.client.is_permitted(ip("203.0.113.2")), "{:?}", world.events);
}

#[test]
fn without_a_ticket_nothing_moves() {
    let mut world = World::live(settings(), server(Some(1)));
    assert!(!moved(&mut world), "none was asked for");
    assert!(tickets(&world).iter().all(Option::is_none));
    let mut world = World::live(mobile(), server(None));
    assert_eq!(tickets(&world), [Some(vec![]), Some(vec![])], "an empty one asks for one");
    assert!(!moved(&mut world), "none was given");
    assert!(world.sent.is_empty());
}

#[test]
fn a_server_that_forbids_to_move_is_asked_without() {
    let mut world = World::new(mobile(), server(Some(1)));
    world.server.next(Method::ALLOCATE, [Reply::Error(405)]);
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    assert!(matches!(world.last(), Event::Allocated { .. }));
    assert_eq!(tickets(&world), [Some(vec![]), Some(vec![]), None]);
    let mut world = World::new(settings(), server(Some(1)));
    world.server.always.insert(Method::ALLOCATE, Reply::Error(405));
    world.act(|client, now, rng| client.start(now, rng));
    world.run_for(secs(1));
    assert_eq!(end(world.last()), Some((Cause::Refused, Some(405))), "it is asked once");
}
