//! What compiled code may depend on of a processor.

/// Asks for features by name; yields a bit for each.
macro_rules! bits {
    ($detected:ident: $($name:tt)*) => {
        [$(std::arch::$detected!($name)),*].iter().fold(0, |bits, has| bits << 1 | u64::from(*has))
    };
}

/// Returns a number that differs between processors for which the compiler may make different code.
#[cfg(target_arch = "x86_64")]
pub(super) fn features() -> u64 {
    bits!(is_x86_feature_detected:
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "lzcnt" "bmi1" "bmi2" "cmpxchg16b" "fma" "avx" "avx2"
        "avx512f" "avx512dq" "avx512vl" "avx512bitalg" "avx512vbmi")
}

/// Returns a number that differs between processors for which the compiler may make different code.
#[cfg(target_arch = "aarch64")]
pub(super) fn features() -> u64 {
    bits!(is_aarch64_feature_detected: "lse" "paca" "pacg" "fp16" "dotprod")
}

/// Not told apart here: wasmtime refuses what does not fit when it loads.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn features() -> u64 {
    0
}
