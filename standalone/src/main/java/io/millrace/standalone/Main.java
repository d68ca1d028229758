package io.millrace.standalone;

import io.millrace.standalone.cli.CommandLines;

/** The program behind the script {@code millrace}. */
public final class Main {

    private Main() {}

    /** Runs a command and ends the process: 0 done, 1 a coded error, 2 wrong usage. */
    public static void main(String[] args) {
        System.exit(CommandLines.run(args, System.out, System.err));
    }
}
