package shoal.verticles.cli;

import java.lang.reflect.Proxy;

/** Ctrl-C, taken before it ends the process. The JDK has this only as sun.misc.Signal (module jdk.unsupported), found by name. */
final class Interrupts {
    private Interrupts() {}

    /** From now on Ctrl-C runs this, on another thread. False where that can't be had: then it ends the process as ever. */
    static boolean onInterrupt(Runnable action) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object ours = Proxy.newProxyInstance(
                    Interrupts.class.getClassLoader(), new Class<?>[] {handler}, (proxy, method, arguments) -> {
                        switch (method.getName()) {
                            case "handle" -> action.run();
                            case "equals" -> {
                                return proxy == arguments[0];
                            }
                            case "hashCode" -> {
                                return System.identityHashCode(proxy);
                            }
                            default -> {
                                return "Ctrl-C";
                            }
                        }
                        return null;
                    });
            Object interrupt = signal.getConstructor(String.class).newInstance("INT");
            signal.getMethod("handle", signal, handler).invoke(null, interrupt, ours);
            return true;
        } catch (ReflectiveOperationException | RuntimeException notHere) {
            return false;
        }
    }
}
