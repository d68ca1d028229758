package io.millrace.standalone.cli;

/** A command that another module brings: a picocli command object, found by {@link java.util.ServiceLoader}. */
public interface Subcommand {}
