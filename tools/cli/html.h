/* html.h: text into a page that is well-formed as HTML and as XML, whatever the text holds. */
#ifndef FOVEATE_CLI_HTML_H
#define FOVEATE_CLI_HTML_H

#include <stddef.h>
#include <stdio.h>

/* Text between tags or inside a quoted attribute. What is not UTF-8, and characters that XML does not allow, become U+FFFD. */
void html_text(FILE *file, const char *text, size_t size);
void html_string(FILE *file, const char *text);
/* A number with `decimals`, and for machines with the 9 digits of --json: <data class=... value=...>; a dash when it is not finite.
 */
void html_number(FILE *file, const char *class, double number, int decimals);
/* A word as a shell would want it, escaped for the page. */
void html_shell(FILE *file, const char *word);

#endif
