use std::time::Duration;

use floe::agent::RemoteParameters;
use floe::candidate::ComponentId;
use serde_json::{Value, json};

use super::*;

const CANDIDATE: &str = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host";
const PWD: &str = "0123456789abcdefghijkl";

fn parse(value: &Value) -> Result<Input, BadLine> {
    Input::parse(value.to_string().as_bytes())
}

fn answer(line: &[u8]) -> Value {
    let bad = Input::parse(line).unwrap_err();
    serde_json::from_str(&bad.answer().to_line()).unwrap()
}

#[track_caller]
fn refused(line: &str, field: &str, position: usize, rule: &str) {
    let error = answer(line.as_bytes());
    assert_eq!(error["type"], "error");
    assert_eq!(error["code"], "bad-input");
    assert_eq!(error["field"], field, "{error}");
    assert_eq!(error["position"], position, "{error}");
    assert!(error["rule"].as_str().unwrap().contains(rule), "{error}");
    assert!(error["message"].as_str().unwrap().contains(field), "{error}");
}

#[test]
fn credentials_and_their_defaults() {
    let line = json!({"type":"credentials","ufrag":"abcd","pwd":PWD});
    let plain = RemoteParameters::new("abcd", PWD);
    assert_eq!(plain.pacing, Duration::from_millis(50));
    assert_eq!(parse(&line), Ok(Input::Credentials(plain.clone())));

    let line = json!({"type":"credentials","ufrag":"abcd","pwd":PWD,"pacing":5,"lite":true,
                      "options":["ice2","trickle"],"color":"blue"});
    let full = RemoteParameters {
        pacing: Duration::from_millis(5),
        lite: true,
        options: vec!["ice2".into(), "trickle".into()],
        ..plain.clone()
    };
    assert_eq!(parse(&line), Ok(Input::Credentials(full)));

    let line = json!({"type":"credentials","ufrag":"abcd","pwd":PWD,"pacing":null,"lite":null});
    assert_eq!(parse(&line), Ok(Input::Credentials(plain)));
}

#[test]
fn what_the_agent_prints_of_itself_its_peer_reads() {
    let output = Output::Credentials {
        ufrag: "abcd".into(),
        pwd: PWD.into(),
        options: vec!["ice2", "trickle"],
        pacing: 5,
        lite: false,
        answers: None,
    };
    let line = output.to_line();
    assert_eq!(
        line,
        r#"{"type":"credentials","ufrag":"abcd","pwd":"0123456789abcdefghijkl","options":["ice2","trickle"],"pacing":5,"lite":false}"#
    );
    assert!(matches!(Input::parse(line.as_bytes()), Ok(Input::Credentials(_))));

    let output = Output::Candidate { candidate: CANDIDATE.into(), ufrag: "abcd".into() };
    assert_eq!(
        output.to_line(),
        format!(r#"{{"type":"candidate","candidate":"{CANDIDATE}","ufrag":"abcd"}}"#)
    );
    let remote = Remote::Candidate(CANDIDATE.parse().unwrap());
    let expected = Input::Remote { ufrag: Some("abcd".into()), remote };
    assert_eq!(Input::parse(output.to_line().as_bytes()), Ok(expected));

    let output = Output::EndOfCandidates { ufrag: "abcd".into() };
    assert_eq!(output.to_line(), r#"{"type":"end-of-candidates","ufrag":"abcd"}"#);
    let expected = Input::Remote { ufrag: Some("abcd".into()), remote: Remote::End };
    assert_eq!(Input::parse(output.to_line().as_bytes()), Ok(expected));
}

#[test]
fn every_other_line_out() {
    let output = Output::CandidateError { url: "stun:x".into(), code: 701, text: "no".into() };
    assert_eq!(
        output.to_line(),
        r#"{"type":"candidate-error","url":"stun:x","code":701,"text":"no"}"#
    );
    let output = Output::State { state: "new".into(), reason: "made".into() };
    assert_eq!(output.to_line(), r#"{"type":"state","state":"new","reason":"made"}"#);
    let output = Output::Selected { component: 1, local: "l".into(), remote: "r".into() };
    assert_eq!(output.to_line(), r#"{"type":"selected","component":1,"local":"l","remote":"r"}"#);
    let output = Output::Stats { version: 1, stats: json!({"pairs":[]}) };
    assert_eq!(output.to_line(), r#"{"type":"stats","version":1,"pairs":[]}"#);
    let output = Output::error("not-connected", "no pair yet");
    assert_eq!(
        output.to_line(),
        r#"{"type":"error","code":"not-connected","message":"no pair yet"}"#
    );
}

#[test]
fn remote_lines_without_a_generation() {
    let remote = Remote::Candidate(CANDIDATE.parse().unwrap());
    let line = json!({"type":"candidate","candidate":CANDIDATE});
    assert_eq!(parse(&line), Ok(Input::Remote { ufrag: None, remote }));
    let line = json!({"type":"end-of-candidates"});
    assert_eq!(parse(&line), Ok(Input::Remote { ufrag: None, remote: Remote::End }));
}

#[test]
fn messages_of_the_agreement_are_carried_as_they_are() {
    let output = Output::Sync { message: "ask 1 c 0f 2".into(), ufrag: "abcd".into() };
    assert_eq!(output.to_line(), r#"{"type":"sync","message":"ask 1 c 0f 2","ufrag":"abcd"}"#);
    let remote = Remote::Sync("ask 1 c 0f 2".into());
    assert_eq!(
        Input::parse(output.to_line().as_bytes()),
        Ok(Input::Remote { ufrag: Some("abcd".into()), remote })
    );
}

#[test]
fn commands() {
    assert_eq!(parse(&json!({"type":"restart"})), Ok(Input::Restart));
    assert_eq!(parse(&json!({"type":"stats"})), Ok(Input::Stats));
    assert_eq!(parse(&json!({"type":"close"})), Ok(Input::Close));
    assert_eq!(Input::parse(b" { \"type\" : \"close\" } \r"), Ok(Input::Close));
}

#[test]
fn send_takes_text_or_base64() {
    let send = |component, payload: &[u8]| {
        let component = ComponentId::new(component).unwrap();
        Ok(Input::Send { component, payload: payload.to_vec() })
    };
    assert_eq!(parse(&json!({"type":"send","component":2,"text":"hi"})), send(2, b"hi"));
    assert_eq!(parse(&json!({"type":"send","text":"hi"})), send(1, b"hi"));
    assert_eq!(parse(&json!({"type":"send","text":""})), send(1, b""));
    assert_eq!(parse(&json!({"type":"send","base64":"/wA="})), send(1, &[0xff, 0]));
    assert_eq!(parse(&json!({"type":"send","base64":""})), send(1, b""));
    assert_eq!(parse(&json!({"type":"send","text":"é\u{0}"})), send(1, "é\u{0}".as_bytes()));
}

#[test]
fn unknown_types_and_keys_are_ignored() {
    assert_eq!(parse(&json!({"type":"sync","round":3})), Ok(Input::Ignored));
    assert_eq!(parse(&json!({"type":"sync","message":{"t":3}})), Ok(Input::Ignored));
    assert_eq!(parse(&json!({"type":"hello","ufrag":7})), Ok(Input::Ignored));
    assert_eq!(parse(&json!({"type":"close","x":{"y":[1]}})), Ok(Input::Close));
    // Candidates of kinds to come (RFC 8839 §5.1).
    let line = json!({"type":"candidate","candidate":"candidate:1 1 SCTP 1 192.0.2.1 5 typ host"});
    assert_eq!(parse(&line), Ok(Input::Ignored));
}

#[test]
fn lines_that_are_no_json_object() {
    refused("", "line", 1, "must be JSON");
    refused("   ", "line", 3, "must be JSON");
    refused("hello", "line", 1, "must be JSON");
    refused(r#"{"type":"close""#, "line", 15, "must be JSON");
    refused(r#"{"type":"close"} x"#, "line", 18, "must be JSON");
    refused("[]", "line", 1, "must be a JSON object");
    refused("7", "line", 1, "must be a JSON object");
    let error = answer(b"{\"type\":\"\xff\"}");
    assert_eq!((&error["field"], &error["position"]), (&json!("line"), &json!(10)));
}

#[test]
fn keys_that_are_missing_or_of_the_wrong_type() {
    refused("{}", "type", 2, "is missing");
    refused(r#"{"type":7}"#, "type", 9, "must be a string");
    refused(r#"{"type":"credentials"}"#, "ufrag", 22, "is missing");
    refused(r#"{"type":"candidate"}"#, "candidate", 20, "is missing");
    refused(r#"{"type":"candidate","candidate":[]}"#, "candidate", 33, "must be a string");
    refused(r#"{"type":"send"}"#, "text", 15, "or base64 must be given");
    refused(r#"{"type":"send","text":1}"#, "text", 23, "must be a string");
    refused(r#"{"type":"send","text":"\ud800"}"#, "text", 23, "must be a string");
    refused(r#"{"type":"send","base64":"/wA"}"#, "base64", 25, "with padding");
    refused(r#"{"type":"send","base64":"_wA="}"#, "base64", 25, "standard base64");
    refused(r#"{"type":"send","text":"a","base64":"YQ=="}"#, "base64", 36, "beside text");
    for component in ["0", "257", "70000", "-1", "1.5", "\"1\""] {
        let line = format!(r#"{{"type":"send","component":{component},"text":""}}"#);
        refused(&line, "component", 28, "from 1 to 256");
    }
}

#[test]
fn credentials_that_break_the_grammar() {
    refused(
        &json!({"pwd":PWD,"type":"credentials","ufrag":"abc"}).to_string(),
        "ufrag",
        62,
        "4 to 256",
    );
    refused(r#"{"type":"credentials","ufrag":"ab:d"}"#, "ufrag", 31, "letters, digits");
    refused(r#"{"type":"credentials","ufrag":"abcd","pwd":"short"}"#, "pwd", 44, "22 to 256");
    let with =
        |rest: &str| format!(r#"{{"type":"credentials","ufrag":"abcd","pwd":"{PWD}",{rest}}}"#);
    refused(&with(r#""pacing":-5"#), "pacing", 78, "whole number");
    refused(&with(r#""pacing":10000000000"#), "pacing", 78, "ten digits");
    refused(&with(r#""lite":1"#), "lite", 76, "true or false");
    refused(&with(r#""options":"ice2""#), "options", 79, "array of strings");
}

#[test]
fn a_candidate_that_does_not_parse_names_field_position_and_rule() {
    let line = r#"{"type":"candidate","candidate":"candidate:1 0 UDP 1 192.0.2.1 5000 typ host"}"#;
    refused(line, "candidate component-id", line.find("0 UDP").unwrap() + 1, "1 to 256");
    // Escapes: the string's beginning is as near as it gets.
    let line = line.replace("typ", "t\\u0079p");
    refused(&line, "candidate component-id", line.find("\"candidate:").unwrap() + 1, "1 to 256");
}

#[test]
fn payloads_up_to_the_limit_and_not_beyond() {
    let line = |length: usize| json!({"type":"send","text":"x".repeat(length)}).to_string();
    assert!(Input::parse(line(MAX_PAYLOAD).as_bytes()).is_ok());
    let error = answer(line(MAX_PAYLOAD + 1).as_bytes());
    assert_eq!(error["code"], "too-large");
    assert!(error["message"].as_str().unwrap().contains("32768"), "{error}");
}

#[test]
fn lines_up_to_the_limit_and_not_beyond() {
    let frame = r#"{"type":"close","x":""}"#.len();
    let line = |length: usize| json!({"type":"close","x":"x".repeat(length - frame)}).to_string();
    assert_eq!(Input::parse(line(MAX_LINE).as_bytes()), Ok(Input::Close));
    refused(&line(MAX_LINE + 1), "line", MAX_LINE + 1, "65536 bytes");
}

#[test]
fn received_is_text_where_it_can_be() {
    let line = |datagram: &[u8]| Output::received(1, datagram).to_line();
    assert_eq!(line(b"hi"), r#"{"type":"received","component":1,"text":"hi"}"#);
    assert_eq!(line(b""), r#"{"type":"received","component":1,"text":""}"#);
    assert_eq!(line(&[0xff, 0]), r#"{"type":"received","component":1,"base64":"/wA="}"#);
    assert_eq!(
        line(b"a\n\x1b[2J\xc2\x9b"),
        r#"{"type":"received","component":1,"text":"a\n\u001b[2J\u009b"}"#
    );
}

#[test]
fn received_stays_within_the_limits() {
    let value = |datagram: &[u8]| -> Value {
        let line = Output::received(2, datagram).to_line();
        assert!(line.len() <= MAX_LINE);
        serde_json::from_str(&line).unwrap()
    };
    let whole = value(&[b'x'; MAX_PAYLOAD]);
    assert_eq!(whole["text"].as_str().map(str::len), Some(MAX_PAYLOAD));
    assert_eq!(whole.get("truncated"), None);
    let cut = value(&[b'x'; MAX_PAYLOAD + 1]);
    assert_eq!(cut["text"].as_str().map(str::len), Some(MAX_PAYLOAD));
    assert_eq!(cut["truncated"], true);
    // As text it would take six bytes a byte.
    assert!(value(&[0; MAX_PAYLOAD])["base64"].is_string());
}
