// A library that a library needs: a number.
__attribute__((export_name("acme:base/count@0.3.1#times"))) int times(void) { return 2; }
