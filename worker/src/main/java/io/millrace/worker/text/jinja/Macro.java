package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Function;
import io.millrace.worker.text.jinja.Values.HasAttributes;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.List;

/** A macro with the scope it was defined in, where it looks for the names it does not define. */
record Macro(Renderer renderer, Stmt.Signature signature, List<Stmt> body, Scope definedIn)
        implements Function, HasAttributes {

    @Override
    public Object call(CallArguments arguments) {
        return renderer.callMacro(this, arguments);
    }

    @Override
    public Object attribute(String attribute) {
        return switch (attribute) {
            case "name" -> signature.name();
            case "arguments" ->
                new Values.Tuple(signature.parameters().stream()
                        .<Object>map(Stmt.Parameter::name)
                        .toList());
            default -> new Undefined("macro has no attribute '" + attribute + "'", false);
        };
    }
}
