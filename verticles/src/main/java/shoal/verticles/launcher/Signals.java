package shoal.verticles.launcher;

import java.lang.reflect.Proxy;

/** Signals such as Ctrl-C, taken before they end the process. The JDK has this only as sun.misc.Signal (module jdk.unsupported), found by name. */
public final class Signals {
    private Signals() {}

    /**
     * From now on a signal runs this, on another thread. False where that can't be had: then it ends the process as ever.
     *
     * @param name without SIG: INT is Ctrl-C, TERM is kill
     */
    public static boolean on(String name, Runnable action) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object ours = Proxy.newProxyInstance(
                    Signals.class.getClassLoader(), new Class<?>[] {handler}, (proxy, method, arguments) -> {
                        switch (method.getName()) {
                            case "handle" -> action.run();
                            case "equals" -> {
                                return proxy == arguments[0];
                            }
                            case "hashCode" -> {
                                return System.identityHashCode(proxy);
                            }
                            default -> {
                                return "SIG" + name;
                            }
                        }
                        return null;
                    });
            Object number = signal.getConstructor(String.class).newInstance(name);
            signal.getMethod("handle", signal, handler).invoke(null, number, ours);
            return true;
        } catch (ReflectiveOperationException | RuntimeException notHere) {
            return false;
        }
    }
}
