// A library: functions, and no start.

#define EXPORT(name) __attribute__((export_name(name)))

static int ready;

EXPORT("_initialize") void initialize(void) { ready = 1; }
EXPORT("add") int add(int a, int b) { return ready ? a + b : 0; }
EXPORT("half") double half(double value) { return value / 2; }
