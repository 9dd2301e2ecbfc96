//! The published schemas hold what the program prints.

use serde_json::{Map, Value, json};

use crate::explain::{ONE_SIDE, TWO_SIDES, explained, log, own};
use crate::probe::ice_probe;
use crate::stdio::{close, signal, start};

/// The keywords that the schemas use; with another the test would pass over it.
const KEYWORDS: [&str; 14] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "minimum",
];

pub(crate) fn schema(name: &str) -> Value {
    let output = ice_probe().args(["schema", name]).output().expect("ice-probe starts");
    assert!(output.status.success(), "{output:?}");
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    schema
}

/// A schema's document, and whether a key that it does not name is a fault.
#[derive(Clone, Copy)]
struct Reader<'a> {
    root: &'a Value,
    is_strict: bool,
}

impl Reader<'_> {
    /// Where and why a value does not fit a schema.
    fn misfit(self, schema: &Value, value: &Value) -> Option<String> {
        let fields = schema.as_object().expect("a schema is an object");
        if let Some(keyword) = fields.keys().find(|key| !KEYWORDS.contains(&&***key)) {
            panic!("the test does not know {keyword}");
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/$defs/").expect("a definition");
            return self.misfit(self.root["$defs"].get(name).expect("it is defined"), value);
        }
        let fits_type = match &schema["type"] {
            Value::Null => true,
            Value::Array(names) => names.iter().any(|name| is_of(name, value)),
            name => is_of(name, value),
        };
        let fits_const = fields.get("const").is_none_or(|only| only == value);
        let fits_enum = schema["enum"].as_array().is_none_or(|all| all.contains(value));
        let minimum = schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY);
        let fits_minimum = value.as_f64().is_none_or(|number| number >= minimum);
        if !(fits_type && fits_const && fits_enum && fits_minimum) {
            return Some(format!("{value} is not {schema}"));
        }
        if let Some(all) = schema["anyOf"].as_array() {
            let misfits: Option<Vec<String>> =
                all.iter().map(|schema| self.misfit(schema, value)).collect();
            return misfits.map(|misfits| misfits.join(" and "));
        }
        if let (Some(values), Some(items)) = (value.as_array(), fields.get("items")) {
            return values.iter().find_map(|value| self.misfit(items, value));
        }
        value.as_object().and_then(|object| self.misfit_of_keys(schema, object))
    }

    fn misfit_of_keys(self, schema: &Value, object: &Map<String, Value>) -> Option<String> {
        let mut required = schema["required"].as_array().into_iter().flatten();
        let is_missing = |key: &&Value| !object.contains_key(key.as_str().expect("a key"));
        if let Some(key) = required.find(is_missing) {
            return Some(format!("{key} is missing"));
        }
        let more = schema.get("additionalProperties");
        let properties = schema["properties"].as_object()?;
        object.iter().find_map(|(key, value)| match properties.get(key).or(more) {
            Some(schema) => self.misfit(schema, value).map(|why| format!("{key}: {why}")),
            None => self.is_strict.then(|| format!("{key} is not told of")),
        })
    }
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}

fn misfit(schema: &Value, value: &Value, is_strict: bool) -> Option<String> {
    Reader { root: schema, is_strict }.misfit(schema, value)
}

/// The schema holds the value, and names every key of it.
#[track_caller]
pub(crate) fn fits(schema: &Value, value: &Value) {
    if let Some(why) = misfit(schema, value, true) {
        panic!("{why}\nin {value}");
    }
}

/// The schema holds the value, which may have more keys.
#[track_caller]
fn fits_at_least(schema: &Value, value: &Value) {
    if let Some(why) = misfit(schema, value, false) {
        panic!("{why}\nin {value}");
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let explain = schema("explain");
    let good: Value = serde_json::from_str(&explained(&["--json"], &log("direct"))).expect("JSON");
    fits(&explain, &good);
    for (pointer, bad) in [
        ("/version", json!(2)),
        ("/agents/0/outcome", json!("splendid")),
        ("/agents/0/pairs/0/sent", json!(1.5)),
        ("/agents/0/pairs/0/received", json!(-1)),
        ("/agents/0/pairs/0/local", json!({"type": "host"})),
        ("/notes", json!("none")),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).expect("it is there") = bad;
        assert!(misfit(&explain, &value, false).is_some(), "{pointer}");
    }
}

#[test]
fn of_explain() {
    let explain = schema("explain");
    let inputs = ["tcp-so", "relay", "failed"].map(log);
    for input in inputs.iter().map(|input| &**input).chain([ONE_SIDE, TWO_SIDES]) {
        let text = explained(&["--json"], input);
        fits(&explain, &serde_json::from_str(&text).expect("JSON"));
    }
}

#[test]
fn of_logs() {
    let line = schema("log");
    for name in ["direct", "tcp-so", "relay", "failed"] {
        for text in log(name).lines() {
            fits_at_least(&line, &serde_json::from_str(text).expect("JSON"));
        }
    }
}

#[test]
fn of_a_demo_and_its_log() {
    let path = own("schema-demo.jsonl");
    let output = ice_probe()
        .args(["demo", "--json", "--log", path.to_str().expect("the path is UTF-8")])
        .output()
        .expect("ice-probe starts");
    fits(&schema("demo"), &serde_json::from_slice(&output.stdout).expect("JSON"));
    let line = schema("log");
    for text in std::fs::read_to_string(path).expect("the log was written").lines() {
        fits_at_least(&line, &serde_json::from_str(text).expect("JSON"));
    }
}

#[test]
fn of_the_lines_of_stdio() {
    let line = schema("stdio");
    let a = start("--controlling", &[]);
    let mut b = start("--controlled", &[]);
    fits(&line, &a.object().expect("its credentials"));
    fits(&line, &b.error("nonsense"));
    fits(&line, &b.error(r#"{"type":"candidate"}"#));
    let mut a = start("--controlling", &[]);
    let mut b = start("--controlled", &[]);
    signal(&a, &mut b);
    signal(&b, &mut a);
    a.until_state("completed").iter().chain(&b.until_state("completed")).for_each(|object| {
        fits(&line, object);
    });
    a.write(r#"{"type":"send","text":"hello"}"#);
    b.write(r#"{"type":"stats"}"#);
    fits_at_least(&line, &b.next("stats"));
    close([a, b]);
}
