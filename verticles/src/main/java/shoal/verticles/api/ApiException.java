package shoal.verticles.api;

import org.jspecify.annotations.Nullable;

/** A request that is answered with an error, in OpenAI's form. */
final class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final int status;
    private final String type;
    private final @Nullable String parameter;

    private ApiException(int status, String type, @Nullable String parameter, String message) {
        super(message);
        this.status = status;
        this.type = type;
        this.parameter = parameter;
    }

    /** 400: a field is wrong. The message says what it is and what is allowed. */
    static ApiException wrong(String parameter, String message) {
        return new ApiException(400, "invalid_request_error", parameter, message);
    }

    /** 400: the request as a whole cannot be carried out. */
    static ApiException refused(String message) {
        return new ApiException(400, "invalid_request_error", null, message);
    }

    static ApiException notFound(String message) {
        return new ApiException(404, "not_found_error", null, message);
    }

    /** 503: later it may work. */
    static ApiException notReady(String message) {
        return new ApiException(503, "service_unavailable_error", null, message);
    }

    static ApiException of(int status, String type, String message) {
        return new ApiException(status, type, null, message);
    }

    int status() {
        return status;
    }

    String type() {
        return type;
    }

    /** The field that is wrong, or null. */
    @Nullable String parameter() {
        return parameter;
    }
}
