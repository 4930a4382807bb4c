"""The one way to reach a cluster: command, program and lab read kubeconfigs, get credentials and connect by this alone.

    errors        what can go wrong, by what the caller can do about it; nothing else leaves this package
    fields        values of a document by their types, or words that name the place
    kubeconfig    a file or a text -> Access: server, trust, user, proxy; no connection, no program is started
    causes        what broke below, in words; what no API server answers
    tls           Access (and a certificate) -> ssl.SSLContext
    proxy         Access and environment -> by which proxy, as kubectl takes it
    credentials   Access -> headers and certificate, for how long; token files, programs
    exec_plugin   asks a credential program within a time limit
    eks           the token of an EKS cluster, where `aws` and `aws-iam-authenticator` are not installed
    transport     sessions and requests over all of that, each failure one of errors; `get_now` for synchronous callers

Rules are those of client-go v0.36 (tools/clientcmd, transport, plugin/pkg/client/auth/exec) unless a module says otherwise.
"""
