package shoal.verticles.api;

import io.vertx.core.buffer.Buffer;
import io.vertx.ext.web.RoutingContext;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** JSON to a client. */
final class Replies {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private Replies() {}

    static void write(RoutingContext request, int status, ObjectNode json) {
        if (!request.response().closed()) {
            request.response()
                    .setStatusCode(status)
                    .putHeader("Content-Type", "application/json")
                    .end(Buffer.buffer(JSON.writeValueAsBytes(json)));
        }
    }

    /** In OpenAI's form. */
    static ObjectNode error(ApiException failure) {
        ObjectNode json = JSON.createObjectNode();
        json.putObject("error")
                .put("message", failure.getMessage())
                .put("type", failure.type())
                .put("param", failure.parameter())
                .put("code", failure.status());
        return json;
    }
}
