/**
 * The Auth service of a server without users: what etcd says before `auth enable` where that is the truth here too, and
 * "not implemented" where etcd would begin to keep users.
 */
import { AuthStatusRequest, AuthStatusResponse, type ResponseHeader } from "../../coordination/messages.ts";
import type { Service } from "../grpc/method.ts";
import { grpcCode } from "../grpc/status.ts";
import { refusing, unary } from "./rpc.ts";

const { failedPrecondition, unimplemented } = grpcCode;

const NO_USERS = "Cannot change users or roles: this server keeps none yet";

export function authService(header: () => Promise<ResponseHeader | undefined>): Service {
  // AuthDisable and the two lists answer with a header alone: field 1 of AuthStatusResponse, and nothing that is set.
  const headerOnly = unary(AuthStatusRequest, AuthStatusResponse, async () => ({ header: await header() }));
  const noUser = refusing(failedPrecondition, "etcdserver: user name not found");
  const noRole = refusing(failedPrecondition, "etcdserver: role name not found");
  const notYet = refusing(unimplemented, NO_USERS);
  return {
    AuthStatus: headerOnly,
    AuthDisable: headerOnly,
    UserList: headerOnly,
    RoleList: headerOnly,
    AuthEnable: refusing(failedPrecondition, "etcdserver: root user does not exist"),
    Authenticate: refusing(failedPrecondition, "etcdserver: authentication is not enabled"),
    UserGet: noUser,
    UserDelete: noUser,
    UserChangePassword: noUser,
    UserGrantRole: noUser,
    UserRevokeRole: noUser,
    RoleGet: noRole,
    RoleDelete: noRole,
    RoleGrantPermission: noRole,
    RoleRevokePermission: noRole,
    UserAdd: notYet,
    RoleAdd: notYet,
  };
}
