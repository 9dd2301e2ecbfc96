//! `--watch`: what has changed from one check to the next.

use std::collections::BTreeMap;

use serde_json::Value;

/// What differs each time and means nothing: times, ports and sockets of ours.
const FLEETING: [&str; 11] = [
    "rtt-ms",
    "connect-ms",
    "asked-ms",
    "resolve-ms",
    "elapsed-ms",
    "ms",
    "confidence",
    "loss",
    "local",
    "relayed",
    "lifetime-s",
];

/// A change of one value of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

/// The changes from one report to the next. Of addresses outside the port is
/// left out: each check has sockets of its own.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (before, after) = (flat(before), flat(after));
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |values: &BTreeMap<String, Value>, path: &String| values.get(path).cloned();
    paths
        .into_iter()
        .map(|path| Change {
            path: path.clone(),
            from: of(&before, path).unwrap_or_default(),
            to: of(&after, path).unwrap_or_default(),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

fn flat(report: &Value) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    walk(report, String::new(), &mut values);
    values
}

fn walk(value: &Value, path: String, values: &mut BTreeMap<String, Value>) {
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter().filter(|(name, _)| !FLEETING.contains(&&***name)) {
                let value = if name == "mapped" { without_port(value) } else { value.clone() };
                walk(&value, below(name), values);
            }
        }
        Value::Array(array) => {
            for (number, value) in array.iter().enumerate() {
                walk(value, below(&key(value, number)), values);
            }
        }
        value => {
            values.insert(path, value.clone());
        }
    }
}

/// What an element is known by: its own words where it has some, so that one
/// that is added does not rename the others.
fn key(value: &Value, number: usize) -> String {
    let names = ["family", "uri", "peer", "stage", "address"];
    let name = names.iter().find_map(|name| value.get(name)?.as_str());
    name.map_or_else(|| number.to_string(), str::to_owned)
}

fn without_port(value: &Value) -> Value {
    let address = value.as_str().and_then(|text| text.parse::<std::net::SocketAddr>().ok());
    address.map_or_else(|| value.clone(), |address| Value::String(address.ip().to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(mapped: &str, rtt: f64, behavior: &str) -> Value {
        json!({
            "verdict": {"text": "t"},
            "families": [{"family": "ipv4", "udp": {
                "mapped": mapped,
                "local": "10.0.0.1:5",
                "servers": [{"address": "192.0.2.1:3478", "rtt-ms": rtt}],
                "mapping": {"behavior": behavior},
            }}],
        })
    }

    #[test]
    fn ports_and_times_are_no_changes() {
        let before = report("203.0.113.1:1000", 1.0, "unknown");
        let after = report("203.0.113.1:2000", 2.0, "unknown");
        assert_eq!(changes(&before, &after), []);
    }

    #[test]
    fn a_change_says_what_it_was_and_what_it_is() {
        let before = report("203.0.113.1:1000", 1.0, "endpoint-independent");
        let after = report("203.0.113.9:1000", 1.0, "unknown");
        let found = changes(&before, &after);
        let found: Vec<_> =
            found.iter().map(|c| (c.path.as_str(), c.from.clone(), c.to.clone())).collect();
        let expected = [
            ("families.ipv4.udp.mapped", json!("203.0.113.1"), json!("203.0.113.9")),
            ("families.ipv4.udp.mapping.behavior", json!("endpoint-independent"), json!("unknown")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_comes_and_goes_was_or_is_nothing() {
        let before = report("203.0.113.1:1000", 1.0, "unknown");
        let gone = json!({"verdict": {"text": "t"}, "families": []});
        let (lost, found) = (changes(&before, &gone), changes(&gone, &before));
        assert!(lost.len() == found.len() && !lost.is_empty());
        assert!(lost.iter().all(|change| change.to.is_null()));
        assert!(found.iter().all(|change| change.from.is_null()));
    }
}
