//! The libFuzzer entry of [`floe_fuzz::sdp_attributes`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floe_fuzz::sdp_attributes::run(data));
