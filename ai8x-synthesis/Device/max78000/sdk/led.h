/* Stand-in: LEDs of a board. */
#ifndef LED_H
#define LED_H

void LED_On(unsigned int idx);
void LED_Off(unsigned int idx);

#endif
