#![no_main]
libfuzzer_sys::fuzz_target!(|data: &str| {
    let _ = caution_appspec::parse(caution_appspec::ConfigFile::Hcl, data);
});
