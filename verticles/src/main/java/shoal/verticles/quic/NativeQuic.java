package shoal.verticles.quic;

import io.netty.handler.codec.quic.Quic;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The native QUIC library: whether it loads here, and for which machines this program brings one. */
public final class NativeQuic {
    private static final String FOLDER = "/META-INF/native/";

    private static final Map<String, String> LIBRARIES = libraries();

    private NativeQuic() {}

    private static Map<String, String> libraries() {
        var libraries = new LinkedHashMap<String, String>();
        libraries.put("Linux x86-64", "libnetty_quiche42_linux_x86_64.so");
        libraries.put("Linux arm64", "libnetty_quiche42_linux_aarch_64.so");
        libraries.put("macOS x86-64", "libnetty_quiche42_osx_x86_64.jnilib");
        libraries.put("macOS arm64", "libnetty_quiche42_osx_aarch_64.jnilib");
        libraries.put("Windows x86-64", "netty_quiche42_windows_x86_64.dll");
        return libraries;
    }

    /** Loads the library; returns null if that works, else why not, in one line. */
    public static @Nullable String whyUnavailable() {
        try {
            if (Quic.isAvailable()) {
                return null;
            }
            Throwable cause = Quic.unavailabilityCause();
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            return String.valueOf(cause.getMessage()).lines().findFirst().orElse("it does not load");
        } catch (LinkageError missing) {
            return missing.toString().lines().findFirst().orElse("it does not load");
        }
    }

    /** The machines that a library is here for. */
    public static List<String> platforms() {
        var platforms = new ArrayList<String>();
        LIBRARIES.forEach((platform, file) -> {
            if (NativeQuic.class.getResource(FOLDER + file) != null) {
                platforms.add(platform);
            }
        });
        return platforms;
    }
}
