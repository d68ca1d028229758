package io.millrace.worker.text.grammar.ebnf;

import java.util.Map;

/** A grammar as it was read. */
record Rules(Map<String, Expr> byName, String start) {}
