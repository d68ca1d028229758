package io.millrace.standalone.cli;

import picocli.CommandLine.Command;

/** The root of the commands. */
@Command(
        name = "millrace",
        description = "Serves large language models from a durable log.",
        mixinStandardHelpOptions = false,
        subcommands = {
            UpCommand.class,
            RoleCommands.Gateway.class,
            RoleCommands.Router.class,
            RoleCommands.Worker.class,
            RoleCommands.Broker.class,
            ChatCommand.class,
            TraceCommand.class,
            ReplayCommand.class,
            DeadLettersCommand.class,
            ModelsCommand.class,
            KeysCommand.class,
            DoctorCommand.class,
            VersionCommand.class,
            picocli.CommandLine.HelpCommand.class
        },
        synopsisSubcommandLabel = "COMMAND")
final class MillraceCommand {

    @picocli.CommandLine.Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Says what there is.")
    private boolean help;
}
