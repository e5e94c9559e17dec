/* Stand-in: printf() of Device/platform.c. */
#ifndef STDIO_H
#define STDIO_H

int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
