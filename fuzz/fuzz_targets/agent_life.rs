//! The libFuzzer entry of [`floe_fuzz::agent_life`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floe_fuzz::agent_life::run(data));
